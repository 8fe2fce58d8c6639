package model

import (
	"slices"
	"testing"
)

// stream builds a DEFLATE stream bit by bit, right or wrong.
type stream struct{ bitWriter }

// code puts a prefix code, highest bit first.
func (s *stream) code(code uint32, lenBits uint) *stream {
	s.put(reverseCode(code, lenBits), lenBits)
	return s
}

func (s *stream) bits(v uint64, n uint) *stream {
	s.put(v, n)
	return s
}

func (s *stream) bytes() []byte {
	done := s.bitWriter
	done.out = slices.Clone(s.out)
	done.flush()
	return done.out
}

func newStream() *stream { return &stream{} }

// block puts the three bits before a block.
func (s *stream) block(final, kind uint64) *stream { return s.bits(final, 1).bits(kind, 2) }

// fixedSymbol puts a literal/length in the fixed code (RFC 1951, 3.2.6).
func (s *stream) fixedSymbol(symbols ...uint32) *stream {
	for _, symbol := range symbols {
		switch {
		case symbol < 144:
			s.code(0x30+symbol, 8)
		case symbol < 256:
			s.code(0x190+symbol-144, 9)
		case symbol < 280:
			s.code(symbol-256, 7)
		default:
			s.code(0xc0+symbol-280, 8)
		}
	}
	return s
}

// fixedMatch puts a match in the fixed code.
func (s *stream) fixedMatch(lenBytes, distance int) *stream {
	symbol, extra, extraBits := lengthSymbol(lenBytes)
	s.fixedSymbol(uint32(symbol)).bits(extra, extraBits)
	return s.fixedDistance(distance)
}

// fixedDistance finds the symbol of any distance, also of those that the
// compressor never writes.
func (s *stream) fixedDistance(distance int) *stream {
	symbol := len(distanceBase) - 1
	for int(distanceBase[symbol]) > distance {
		symbol--
	}
	s.code(uint32(symbol), 5)
	return s.bits(uint64(distance-int(distanceBase[symbol])), uint(distanceExtraBits[symbol]))
}

// stored puts a stored block.
func (s *stream) stored(final uint64, data []byte) *stream {
	s.block(final, blockStored)
	s.flush()
	s.bits(uint64(len(data)), 16).bits(^uint64(len(data)), 16)
	for _, b := range data {
		s.bits(uint64(b), 8)
	}
	return s
}

// dynamicHeader puts the counts of a dynamic block and the lengths of the code
// for code lengths, by symbol.
func (s *stream) dynamicHeader(literals, distances uint64, lengths map[int]uint64) *stream {
	s.block(1, blockDynamic).bits(literals-257, 5).bits(distances-1, 5).bits(19-4, 4)
	for _, symbol := range headerOrder {
		s.bits(lengths[int(symbol)], 3)
	}
	return s
}

// Four code lengths and repetitions have the codes 000 to 111 in plainHeader.
var plainHeader = map[int]uint64{0: 3, 1: 3, 2: 3, 8: 3, 15: 3, 16: 3, 17: 3, 18: 3}

const (
	plain0 = iota
	plain1
	plain2
	plain8
	plain15
	plain16
	plain17
	plain18
)

func (s *stream) plain(codes ...uint32) *stream {
	for _, code := range codes {
		s.code(code, 3)
	}
	return s
}

// zeros puts a run of 11 to 138 zero lengths.
func (s *stream) zeros(n uint64) *stream { return s.plain(plain18).bits(n-11, 7) }

// twoLiterals puts the lengths of 257 literals of which 'A' and end-of-block
// have the codes 0 and 1.
func (s *stream) twoLiterals() *stream {
	return s.zeros(65).plain(plain1).zeros(138).zeros(52).plain(plain1)
}

func repeated(codes uint32, n int) []uint32 { return slices.Repeat([]uint32{codes}, n) }

func wantOutcome(tb testing.TB, name string, r Result, status Status, code ErrorCode) {
	tb.Helper()
	if r.Status != status || status == StatusAnalyticsError && r.ErrorCode != code {
		tb.Errorf("%s: %v, %v; want %v, %v", name, r.Status, r.ErrorCode, status, code)
	}
}

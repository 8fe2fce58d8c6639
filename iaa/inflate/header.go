package inflate

import (
	"sabrefs/iaa/huffman"
)

// header is the scratch space of reading the codes of a dynamic block, RFC 1951,
// 3.2.7.
type header struct {
	precode   [1 << precodeBits]uint32
	lengths   alphabet // of the precode
	literals  alphabet
	distances alphabet
}

// precodeOrder is the order in which lengths of the precode are sent.
var precodeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// An entry of the precode's table:
//
//	 0-7   the bits of its code and of its extra bits
//	 8-11  the bits of its code alone
//	   15  no code
//	16-19  the code length that it stands for
//	   20  the length before is repeated instead
//	24-31  how many times at least
const (
	precodeNone        = 1 << 15
	precodeLengthMask  = 15
	precodeRepeatShift = 20
	precodeTimesShift  = 24
)

func makePrecodeValues() []uint32 {
	values := make([]uint32, len(precodeOrder))
	for length := range uint32(16) {
		values[length] = 1<<precodeTimesShift | length<<valueShift
	}
	values[16] = 3<<precodeTimesShift | 1<<precodeRepeatShift | 2
	values[17] = 3<<precodeTimesShift | 3
	values[18] = 11<<precodeTimesShift | 7
	return values
}

// readTable reads the codes of a dynamic block.
func (l *lane) readTable() error {
	s := &l.stream
	s.refill()
	literals, distances, precodes := int(s.take(5))+257, int(s.take(5))+1, int(s.take(4))+4
	if literals > huffman.LiteralSymbols || distances > huffman.DistanceSymbols {
		return s.invalid("more codes than there are symbols")
	}
	if !l.readPrecode(s, precodes) {
		return s.invalid("code lengths' code")
	}
	if err := l.readLengths(s, literals, literals+distances); err != nil {
		return err
	}
	if !l.header.literals.build(l.own.literal[:], &literalLayout) {
		return s.invalid("literal/length code")
	}
	if !l.header.distances.build(l.own.distance[:], &distanceLayout) {
		return s.invalid("distance code")
	}
	return nil
}

// readPrecode reads the code of the code lengths: at most 19 times 3 bits, of
// which 39 are there and a refill brings the rest.
func (l *lane) readPrecode(s *stream, n int) bool {
	var lengths [len(precodeOrder)]uint8
	for i, symbol := range precodeOrder[:n] {
		if i == 13 {
			s.refill()
		}
		lengths[symbol] = uint8(s.take(3))
	}
	l.header.lengths.set(lengths[:])
	return l.header.lengths.build(l.header.precode[:], &precodeLayout)
}

// readLengths reads n code lengths, of which those of literals come first.
func (l *lane) readLengths(s *stream, literals, n int) error {
	h, r := &l.header, *s // in registers
	h.literals.reset()
	h.distances.reset()
	a, first := &h.literals, 0
	length := uint32(0) // the one before
	for i := 0; i < n; {
		r.refill()
		entry := h.precode[r.buf&(1<<precodeBits-1)]
		times := int(entry>>precodeTimesShift) + int(r.buf&(1<<(entry&63)-1)>>(entry>>consumeShift&63))
		r.take(entry & 63)
		repeat := -(entry >> precodeRepeatShift & 1)
		if entry&precodeNone != 0 || i == 0 && repeat != 0 || times > n-i || r.in > r.srcLen+8 {
			return l.badLength(&r, entry, i)
		}
		length = entry>>valueShift&precodeLengthMask | length&repeat
		if i >= literals {
			a, first = &h.distances, literals
		}
		if times == 1 {
			a.add(i-first, uint8(length))
			i++
			continue
		}
		if length != 0 {
			h.addRun(i, i+times, literals, uint8(length))
		}
		i += times
	}
	s.in, s.buf, s.left = r.in, r.buf, r.left
	return nil
}

// addRun adds symbols with codes of equal length, which may be of both alphabets.
func (h *header) addRun(i, end, literals int, bits uint8) {
	for ; i < min(end, literals); i++ {
		h.literals.add(i, bits)
	}
	for ; i < end; i++ {
		h.distances.add(i-literals, bits)
	}
}

// badLength says what is wrong with the i-th code length.
func (l *lane) badLength(s *stream, entry uint32, i int) error {
	switch {
	case entry&precodeNone != 0:
		return s.invalid("code lengths' code that stands for nothing")
	case i == 0 && entry>>precodeRepeatShift&1 != 0:
		return s.invalid("repeat of nothing")
	case s.in > s.srcLen+8:
		return s.truncated()
	default:
		return s.invalid("more code lengths than announced")
	}
}

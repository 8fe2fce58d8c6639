package model

import (
	"encoding/binary"
	"math/bits"
)

// tokenSink takes the tokens of an input one by one, until it returns false.
type tokenSink interface {
	literal(b byte) bool
	match(lenBytes, distance int) bool
}

// matcher finds repetitions: greedily, with one candidate for each hash of
// three bytes. The same input always yields the same tokens, as two-pass
// compression needs it.
type matcher struct {
	last [matcherSlots]int32 // position after the last occurrence of a hash
}

const (
	matcherBits  = 12
	matcherSlots = 1 << matcherBits
)

func hashAt(p []byte) uint32 {
	const multiplier = 0x9e3779b1
	return (binary.LittleEndian.Uint32(p) << 8) * multiplier >> (32 - matcherBits)
}

// tokens hands the input to the sink.
func (m *matcher) tokens(source []byte, literalsOnly bool, sink tokenSink) {
	clear(m.last[:])
	for i := 0; i < len(source); {
		n, distance := 0, 0
		if !literalsOnly && len(source)-i >= 4 {
			n, distance = m.find(source, i)
		}
		if n < minMatchBytes {
			if !sink.literal(source[i]) {
				return
			}
			i++
			continue
		}
		if !sink.match(n, distance) {
			return
		}
		m.insert(source, i+1, i+n)
		i += n
	}
}

// find enters position i and returns the match of it, if any.
func (m *matcher) find(source []byte, i int) (n, distance int) {
	slot := &m.last[hashAt(source[i:])]
	candidate := int(*slot) - 1
	*slot = int32(i) + 1
	if candidate < 0 || i-candidate > historyBytes {
		return 0, 0
	}
	limit := min(len(source)-i, maxMatchBytes)
	for n < limit && source[candidate+n] == source[i+n] {
		n++
	}
	return n, i - candidate
}

func (m *matcher) insert(source []byte, from, to int) {
	for i := from; i < min(to, len(source)-3); i++ {
		m.last[hashAt(source[i:])] = int32(i) + 1
	}
}

// lengthSymbol and distanceSymbol are the symbols of RFC 1951, 3.2.5, with the
// extra bits that follow.
func lengthSymbol(lenBytes int) (symbol int, extra uint64, extraBits uint) {
	over := uint(lenBytes - minMatchBytes)
	switch {
	case lenBytes == maxMatchBytes:
		return literalSymbols - 1, 0, 0
	case over < 8:
		return endOfBlock + 1 + int(over), 0, 0
	}
	extraBits = uint(bits.Len(over)) - 3
	symbol = endOfBlock + 1 + int(4*(extraBits+1)) + int(over>>extraBits&3)
	return symbol, uint64(over & (1<<extraBits - 1)), extraBits
}

func distanceSymbol(distance int) (symbol int, extra uint64, extraBits uint) {
	over := uint(distance - 1)
	if over < 4 {
		return int(over), 0, 0
	}
	extraBits = uint(bits.Len(over)) - 2
	symbol = int(2*(extraBits+1)) + int(over>>extraBits&1)
	return symbol, uint64(over & (1<<extraBits - 1)), extraBits
}

// histogram counts symbols.
type histogram struct {
	literals  [literalSymbols]uint32
	distances [distanceSymbols]uint32
}

// reset begins with the end-of-block symbol, if there will be one.
func (h *histogram) reset(ends bool) {
	*h = histogram{}
	if ends {
		h.literals[endOfBlock] = 1
	}
}

func (h *histogram) literal(b byte) bool {
	h.literals[b]++
	return true
}

func (h *histogram) match(lenBytes, distance int) bool {
	symbol, _, _ := lengthSymbol(lenBytes)
	h.literals[symbol]++
	symbol, _, _ = distanceSymbol(distance)
	h.distances[symbol]++
	return true
}

// tokenWriter writes tokens as a table says.
type tokenWriter struct {
	out        *bitWriter
	table      *codeTable
	limitBytes int
	missing    bool // a symbol had no code
}

// room reports whether to go on. The end of the output may be kept back, so
// that the limit is no exact one here.
func (w *tokenWriter) room() bool {
	return !w.missing && len(w.out.out) < w.limitBytes+2*keptBytes
}

func (w *tokenWriter) literal(b byte) bool {
	w.code(w.table.literal[b])
	return w.room()
}

func (w *tokenWriter) match(lenBytes, distance int) bool {
	symbol, extra, extraBits := lengthSymbol(lenBytes)
	w.code(w.table.literal[symbol])
	w.out.put(extra, extraBits)
	symbol, extra, extraBits = distanceSymbol(distance)
	w.code(w.table.distance[symbol])
	w.out.put(extra, extraBits)
	return w.room()
}

// code writes an entry of a table.
func (w *tokenWriter) code(entry uint32) {
	lenBits := uint(entry >> codeLengthShift)
	if lenBits == 0 {
		w.missing = true
		return
	}
	w.out.put(reverseCode(entry&codeMask, lenBits), lenBits)
}

// end writes what follows on the last token.
func (w *tokenWriter) end(ending int) {
	if ending == endingNone {
		return
	}
	w.code(w.table.literal[endOfBlock])
	if ending == endingEndOfBlock {
		return
	}
	w.out.put(uint64(ending-endingStored), blockHeaderBits) // the lowest bit is "final"
	w.out.flush()
	w.out.put(0xffff0000, 32) // length 0 and its complement
}

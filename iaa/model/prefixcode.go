package model

import "math/bits"

// The alphabets of RFC 1951, 3.2.5 to 3.2.7.
const (
	literalSymbols  = 286
	distanceSymbols = 30
	headerSymbols   = 19
	endOfBlock      = 256

	// The fixed code has codes for symbols that stand for nothing.
	fixedLiteralSymbols  = 288
	fixedDistanceSymbols = 32

	maxCodeBits = 15
)

// lookupBits is the length of codes that are decoded with one look at a table;
// the others are rare.
const lookupBits = 10

// prefixCode decodes a canonical prefix code (RFC 1951, 3.2.2).
type prefixCode struct {
	// lookup has, for the next bits of a stream, symbol<<4 | length, and 0
	// where the code is longer or undefined.
	lookup [1 << lookupBits]uint16
	// count is the number of codes of each length; symbols are in the order
	// of their codes.
	count   [maxCodeBits + 1]uint16
	symbols [fixedLiteralSymbols]uint16
	// incomplete codes leave bit patterns undefined.
	incomplete bool
}

// build makes the code with these lengths, 0 for symbols without a code. It
// returns false for lengths that no prefix code has: more than fit.
func (c *prefixCode) build(lengths []uint8) bool {
	c.count = [maxCodeBits + 1]uint16{}
	for _, n := range lengths {
		c.count[n]++
	}
	c.count[0] = 0
	room := 1 // codes of the current length that are still free
	var next [maxCodeBits + 2]uint16
	for n := 1; n <= maxCodeBits; n++ {
		room = room<<1 - int(c.count[n])
		if room < 0 {
			return false
		}
		next[n+1] = next[n] + c.count[n]
	}
	c.incomplete = room > 0
	for symbol, n := range lengths {
		if n > 0 {
			c.symbols[next[n]] = uint16(symbol)
			next[n]++
		}
	}
	c.buildLookup()
	return true
}

// buildLookup repeats each short code for all bits that may follow it. Codes
// are in the stream with their highest bit first (RFC 1951, 3.1.1).
func (c *prefixCode) buildLookup() {
	clear(c.lookup[:])
	code, index := uint(0), 0
	for n := 1; n <= lookupBits; n++ {
		for range c.count[n] {
			entry := c.symbols[index]<<4 | uint16(n)
			first := bits.Reverse16(uint16(code)) >> (16 - n)
			for i := int(first); i < len(c.lookup); i += 1 << n {
				c.lookup[i] = entry
			}
			code++
			index++
		}
		code <<= 1
	}
}

// What decode returns instead of a symbol.
const (
	symbolUndefined = -1
	symbolCut       = -2 // by the end of the input
)

// decode takes one symbol; the reader must have been filled.
func (c *prefixCode) decode(r *bitReader) int {
	entry := c.lookup[r.held&(1<<lookupBits-1)]
	n := uint(entry & 15)
	if n == 0 {
		return c.decodeBitByBit(r)
	}
	if n > r.count {
		return symbolCut
	}
	r.held >>= n
	r.count -= n
	return int(entry >> 4)
}

// decodeBitByBit compares with the first code of each length in turn.
func (c *prefixCode) decodeBitByBit(r *bitReader) int {
	code, first, index := 0, 0, 0
	for n := uint(1); n <= maxCodeBits; n++ {
		if n > r.count {
			return symbolCut
		}
		code |= int(r.held >> (n - 1) & 1)
		count := int(c.count[n])
		if code-first < count {
			r.take(n)
			return int(c.symbols[index+code-first])
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return symbolUndefined
}

// fixedLengths are the code lengths of RFC 1951, 3.2.6.
func fixedLengths() (literal [fixedLiteralSymbols]uint8, distance [fixedDistanceSymbols]uint8) {
	for i := range literal {
		switch {
		case i < 144:
			literal[i] = 8
		case i < 256:
			literal[i] = 9
		case i < 280:
			literal[i] = 7
		default:
			literal[i] = 8
		}
	}
	for i := range distance {
		distance[i] = 5
	}
	return literal, distance
}

// lengthBase and lengthExtraBits belong to symbols 257 to 285, distanceBase and
// distanceExtraBits to the distance symbols; RFC 1951, 3.2.5.
var (
	lengthBase = [...]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtraBits = [...]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
		3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
	distanceBase = [...]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193,
		257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
		8193, 12289, 16385, 24577,
	}
	distanceExtraBits = [...]uint8{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
		7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
	}
)

package deflate

import (
	"math/bits"

	"sabrefs/iaa/huffman"
)

// histogram counts the symbols of a block. The arrays have room for everything
// that a token could say, which spares checks of bounds.
type histogram struct {
	literal  [512]uint32
	distance [32]uint32
}

// begin empties the histogram except for the end of the block.
func (h *histogram) begin() {
	*h = histogram{}
	h.literal[huffman.EndOfBlock] = 1
}

func (h *histogram) add(t token) {
	if t.isMatch() {
		h.literal[t.length().symbol&511]++
		h.distance[t.distanceSymbol()]++
	} else {
		h.literal[t&0xff]++
	}
}

// merge adds another histogram.
func (h *histogram) merge(other *histogram) {
	for symbol := range huffman.LiteralSymbols {
		h.literal[symbol] += other.literal[symbol]
	}
	for symbol := range huffman.DistanceSymbols {
		h.distance[symbol] += other.distance[symbol]
	}
}

// symbols is the number of literals and lengths, with the end of the block.
func (h *histogram) symbols() (n uint32) {
	for _, freq := range &h.literal {
		n += freq
	}
	return n
}

// matches is the number of distances.
func (h *histogram) matches() (n uint32) {
	for _, freq := range &h.distance {
		n += freq
	}
	return n
}

// extraBits are those that follow the codes of lengths and distances, whatever
// the codes are.
func (h *histogram) extraBits() (n int) {
	for symbol, extra := range &lengthExtraBits {
		n += int(extra) * int(h.literal[firstLengthSymbol+symbol])
	}
	for symbol := range uint32(distanceSymbols) {
		n += int(distanceExtraBits(symbol)) * int(h.distance[symbol])
	}
	return n
}

// codeBits is the size of the symbols' codes.
func (h *histogram) codeBits(lengths *huffman.Lengths) (n int) {
	for symbol, length := range &lengths.Literal {
		n += int(length) * int(h.literal[symbol])
	}
	for symbol, length := range &lengths.Distance {
		n += int(length) * int(h.distance[symbol])
	}
	return n
}

// codedBy tells whether every symbol that occurs has a code.
func (h *histogram) codedBy(lengths *huffman.Lengths) bool {
	for symbol, length := range &lengths.Literal {
		if length == 0 && h.literal[symbol] > 0 {
			return false
		}
	}
	for symbol, length := range &lengths.Distance {
		if length == 0 && h.distance[symbol] > 0 {
			return false
		}
	}
	return true
}

// log2 of n > 0 in the units of costs. It is computed in integers: the same
// input must give the same stream on every machine.
func log2(n uint32) uint32 {
	whole := uint32(bits.Len32(n)) - 1
	fraction := n << (31 - whole) >> (31 - logBits) & (1<<logBits - 1)
	return whole<<costShift + uint32(logTable[fraction])
}

const logBits = 10

// logTable has the logarithms of 1 + i/2^logBits.
var logTable = func() (table [1 << logBits]uint16) {
	for i := range table {
		x := uint64(1<<logBits+i) << (32 - logBits) // from 1 to 2, times 2^32
		for digit := uint16(oneBit / 2); digit > 0; digit /= 2 {
			// Squaring doubles the logarithm.
			high, low := bits.Mul64(x, x)
			x = high<<32 | low>>32
			if x >= 2<<32 {
				x /= 2
				table[i] |= digit
			}
		}
	}
	return table
}()

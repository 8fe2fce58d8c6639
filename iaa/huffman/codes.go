package huffman

import "math/bits"

// Codes computes the canonical codes of RFC 1951, 3.2.2 for the lengths, the
// first bit of a code being the most significant of its length. A symbol of
// length 0 gets 0. The lengths must have passed [Lengths.Check] or come from a
// [Builder]; codes must be at least as long as lengths.
func Codes(codes []uint16, lengths []uint8) {
	next := firstCodes(lengths)
	codes = codes[:len(lengths)]
	for symbol, length := range lengths {
		length &= MaxBits
		codes[symbol] = next[length]
		next[length]++
		if length == 0 {
			codes[symbol] = 0
		}
	}
}

// ReversedCodes is as [Codes], but the first bit of a code is its least
// significant one, which is the order in which a [BitWriter] takes them.
func ReversedCodes(codes []uint16, lengths []uint8) {
	Codes(codes, lengths)
	for symbol, length := range lengths {
		codes[symbol] = bits.Reverse16(codes[symbol]) >> (16 - length&MaxBits)
	}
}

// firstCodes returns the first code of each length.
func firstCodes(lengths []uint8) [MaxBits + 1]uint16 {
	var counts, first [MaxBits + 1]uint16
	for _, length := range lengths {
		counts[length&MaxBits]++
	}
	counts[0] = 0
	for length := 1; length <= MaxBits; length++ {
		first[length] = (first[length-1] + counts[length-1]) << 1
	}
	return first
}

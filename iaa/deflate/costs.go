package deflate

import "sabrefs/iaa/huffman"

// Costs are in units of 1/256 bit.
const (
	costShift = 8
	oneBit    = 1 << costShift

	// rareCost is for a symbol that does not occur yet: as much as for a rare
	// one, so that it may begin to.
	rareCost = 13 * oneBit

	// noCode is for a symbol without a code, and the most that a way can cost:
	// more than any other, and so little that three of it can be added.
	noCode = 1 << 30
)

// costs are what the parts of a block cost, extra bits included.
type costs struct {
	literal  [256]uint32
	length   [512]uint32 // by length
	distance [32]uint32  // by symbol
}

// setEntropy makes the costs those of an ideal code for the histogram.
func (c *costs) setEntropy(h *histogram) {
	symbols, matches := log2(h.symbols()+1), log2(h.matches()+1)
	for symbol := range huffman.LiteralSymbols {
		c.setLiteral(symbol, entropyCost(h.literal[symbol], symbols))
	}
	for symbol := range uint32(distanceSymbols) {
		c.setDistance(symbol, entropyCost(h.distance[symbol], matches))
	}
}

// entropyCost is the cost of a symbol, given the logarithm of the sum of all
// frequencies. That of a very frequent one is still half a bit, for a code has
// at least one.
func entropyCost(freq, logSum uint32) uint32 {
	if freq == 0 {
		return min(logSum+oneBit/2, rareCost)
	}
	return max(logSum-log2(freq), oneBit/2)
}

// setLengths makes the costs those of a code. unused is for symbols without one.
func (c *costs) setLengths(lengths *huffman.Lengths, unused uint32) {
	for symbol, length := range &lengths.Literal {
		c.setLiteral(symbol, codeCost(length, unused))
	}
	for symbol := range uint32(distanceSymbols) {
		c.setDistance(symbol, codeCost(lengths.Distance[symbol], unused))
	}
}

func codeCost(length uint8, unused uint32) uint32 {
	if length == 0 {
		return unused
	}
	return uint32(length) << costShift
}

// setLiteral sets the cost of a literal, or of all lengths of a symbol.
func (c *costs) setLiteral(symbol int, cost uint32) {
	if symbol < huffman.EndOfBlock {
		c.literal[symbol] = cost
		return
	}
	if symbol < firstLengthSymbol {
		return
	}
	i := symbol - firstLengthSymbol
	cost += uint32(lengthExtraBits[i]) << costShift
	last := maxMatch
	if i+1 < lengthSymbols {
		last = int(lengthBase[i+1]) - 1
	}
	for length := int(lengthBase[i]); length <= last; length++ {
		c.length[length] = cost
	}
}

func (c *costs) setDistance(symbol, cost uint32) {
	c.distance[symbol] = cost + distanceExtraBits(symbol)<<costShift
}

package densezstd

// prices is what the parts of a sequence are expected to cost, in 1/256 bit.
type prices struct {
	literal [256]int32
	lit     [maxLitCode + 1]int32 // by code, with the extra bits
	match   [maxMatchCode + 1]int32
	offset  [maxOffsetCode + 1]int32
	// Lengths that occur often, looked up without their code.
	shortLit   [64]int32
	nextLit    [63]int32
	shortMatch [niceLen + 1]int32 // by match length
}

// set derives prices from what a similar parse needed.
func (p *prices) set(c *chunkStats) {
	setPrices(p.literal[:], c.literals[:], nil)
	for i, price := range p.literal {
		// A Huffman code has at least one bit.
		p.literal[i] = min(max(price, bitCost), 12*bitCost)
	}
	setPrices(p.lit[:], c.codes.lit[:], litExtra[:])
	setPrices(p.match[:], c.codes.match[:], matchExtra[:])
	setPrices(p.offset[:], c.codes.offset[:], offsetExtra[:])
	for n := range p.shortLit {
		p.shortLit[n] = p.lit[litCode(uint32(n))]
	}
	for n := range p.nextLit {
		p.nextLit[n] = p.shortLit[n+1] - p.shortLit[n]
	}
	for n := minMatchFormat; n < len(p.shortMatch); n++ {
		p.shortMatch[n] = p.match[matchCode(uint32(n-minMatchFormat))]
	}
}

var offsetExtra = func() (extra [maxOffsetCode + 1]uint8) {
	for i := range extra {
		extra[i] = uint8(i)
	}
	return extra
}()

// setPrices derives prices from counts; what was not seen may be yet.
func setPrices(prices []int32, counts []uint32, extra []uint8) {
	total := uint32(0)
	for _, n := range counts {
		total += 4*n + 1
	}
	top := int32(log2(total) >> 8)
	for i, n := range counts {
		prices[i] = top - int32(log2(4*n+1)>>8)
		if extra != nil {
			prices[i] += int32(extra[i]) * bitCost
		}
	}
}

// oneMore returns by how much n literals get dearer by one more.
func (p *prices) oneMore(n uint32) int32 {
	if n < uint32(len(p.nextLit)) {
		return p.nextLit[n]
	}
	return p.litLen(n+1) - p.litLen(n)
}

func (p *prices) litLen(n uint32) int32 {
	if n < uint32(len(p.shortLit)) {
		return p.shortLit[n]
	}
	return p.lit[litCode(n)]
}

func (p *prices) matchLen(n uint32) int32 {
	if n < uint32(len(p.shortMatch)) {
		return p.shortMatch[n]
	}
	return p.match[matchCode(n-minMatchFormat)]
}

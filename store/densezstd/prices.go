package densezstd

// prices is what the parts of a sequence are expected to cost, in 1/256 bit.
type prices struct {
	literal [256]uint32
	lit     [maxLitCode + 1]uint32 // by code, with the extra bits
	match   [maxMatchCode + 1]uint32
	offset  [maxOffsetCode + 1]uint32
	// Lengths that occur often, to be looked up without their code.
	shortLit [64]uint32
	nextLit  [63]uint32 // shortLit[n+1]-shortLit[n], which may wrap
	// steps adds a match length and its price to an arrival.
	steps [niceLen]arrival
}

// usualCodes are the counts of codes in guest memory, of 65536 sequences that
// optimal parsing makes of it. They need not be exact: they choose among
// parses, and a wrong choice costs a few bytes.
var usualCodes = codeCounts{
	lit: [maxLitCode + 1]uint32{
		23288, 23466, 9565, 3038, 1638, 1200, 697, 483, 430, 268, 184, 203, 122, 125, 79, 69,
		107, 78, 67, 50, 73, 53, 74, 40, 53, 64, 17, 3, 2,
	},
	match: [maxMatchCode + 1]uint32{
		20461, 12353, 4720, 4841, 6374, 2697, 995, 763, 1678, 398, 513, 1293, 1895, 459, 305, 271,
		337, 179, 156, 272, 798, 111, 101, 78, 115, 59, 97, 423, 906, 27, 43, 39,
		61, 131, 236, 32, 90, 297, 134, 316, 161, 58, 106, 89, 31, 17, 9, 8,
	},
	offset: [maxOffsetCode + 1]uint32{
		17118, 3195, 797, 1881, 3052, 4046, 4110, 3315, 3143, 3328, 3601, 3515, 5634, 4292, 3265, 1244,
	},
}

// usualLiterals is added to the bytes of a page as a first guess of which of
// them will be literals: some of each, as the frequent ones will be matched.
var usualLiterals = func() (counts [256]uint32) {
	for i := range counts {
		counts[i] = 40
	}
	return counts
}()

var offsetExtra = func() (extra [maxOffsetCode + 1]uint8) {
	for i := range extra {
		extra[i] = uint8(i)
	}
	return extra
}()

// setLiterals derives the prices of literals.
func (p *prices) setLiterals(counts *[256]uint32) {
	setPrices(p.literal[:], counts[:])
	for i, price := range p.literal {
		// A Huffman code has one to eleven bits.
		p.literal[i] = min(max(price, bitCost), 12*bitCost)
	}
}

// setCodes derives the prices of everything else.
func (p *prices) setCodes(c *codeCounts) {
	setPrices(p.lit[:], c.lit[:])
	setPrices(p.match[:], c.match[:])
	setPrices(p.offset[:], c.offset[:])
	addExtra(p.lit[:], litExtra[:])
	addExtra(p.match[:], matchExtra[:])
	addExtra(p.offset[:], offsetExtra[:])
	for n := range p.shortLit {
		p.shortLit[n] = p.lit[litCode(uint32(n))]
	}
	for n := range p.nextLit {
		p.nextLit[n] = p.shortLit[n+1] - p.shortLit[n]
	}
	for n := uint32(minMatchFormat); n < niceLen; n++ {
		p.steps[n] = newArrival(p.match[matchCode(n-minMatchFormat)], n, 0)
	}
}

// setPrices derives prices from counts; what was not seen may be yet.
func setPrices(prices, counts []uint32) {
	total := uint32(0)
	for _, n := range counts {
		total += 4*n + 1
	}
	top := log2(total) >> 8
	for i, n := range counts {
		prices[i] = top - log2(4*n+1)>>8
	}
}

func addExtra(prices []uint32, extra []uint8) {
	for i, bits := range extra {
		prices[i] += uint32(bits) * bitCost
	}
}

// oneMoreLiteral returns by how much n literals get dearer by one more, apart
// from its own price. The difference may be negative, and wraps.
func (p *prices) oneMoreLiteral(n uint32) uint32 {
	if n < uint32(len(p.nextLit)) {
		return p.nextLit[n]
	}
	if n >= litBases[maxLitCode] {
		return 0 // the block will end before so many
	}
	return p.lit[litCode(n+1)] - p.lit[litCode(n)]
}

func (p *prices) matchLen(n uint32) uint32 { return p.match[matchCode(n-minMatchFormat)] }

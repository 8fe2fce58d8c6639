package huffman

// The alphabet of the code lengths, RFC 1951, 3.2.7: 0 to 15 are lengths.
const (
	lengthSymbols = 19
	repeatLast    = 16 // the last length 3 to 6 times more, 2 extra bits
	repeatZero    = 17 // a length of 0, 3 to 10 times, 3 extra bits
	repeatZeros   = 18 // a length of 0, 11 to 138 times, 7 extra bits

	maxLengthBits = 7 // of a code in this alphabet

	minLiterals  = 257 // announced in a header
	minDistances = 1
	minLengths   = 4

	// fixedHeaderBits are those before the first code length: the type of the
	// block, HLIT, HDIST and HCLEN.
	fixedHeaderBits = 3 + 5 + 5 + 4
)

// lengthOrder is the order in which a header has the lengths of the codes for
// the lengths.
var lengthOrder = [lengthSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

var repeatExtraBits = [lengthSymbols]uint8{repeatLast: 2, repeatZero: 3, repeatZeros: 7}

// typicalCosts are what the symbols of a header usually cost, in bits, with
// their extra bits.
var typicalCosts = lengthCosts{
	0: 4, 1: 7, 2: 7, 3: 6, 4: 5, 5: 4, 6: 4, 7: 3, 8: 3, 9: 3, 10: 3, 11: 4, 12: 5, 13: 6, 14: 7, 15: 7,
	repeatLast: 4 + 2, repeatZero: 4 + 3, repeatZeros: 5 + 7,
}

type lengthCosts [lengthSymbols]int

// Header is the description of the two codes that begins a dynamic block. Set
// computes it; then its size is known and it can be written, any number of
// times. It holds scratch space, and is meant to be kept.
type Header struct {
	literals  int // announced, 257 to 286
	distances int // announced, 1 to 30
	described Lengths
	best      int // index of the plan to use
	plans     [2]headerPlan
	builder   Builder
}

// headerPlan is one way to write a header.
type headerPlan struct {
	items     [LiteralSymbols + DistanceSymbols]headerItem // of both lists
	itemCount int

	freqs    [lengthSymbols]uint32
	lengths  [lengthSymbols]uint8
	announce int // how many of lengths are announced, 4 to 19
	sizeBits int
}

// headerItem is one symbol of a list of code lengths, with its extra bits.
type headerItem struct {
	symbol, extra uint8
}

// Set computes the description of lengths, which must have passed
// [Lengths.Check] or come from a [Builder]. It is free if the same lengths were
// described last.
func (h *Header) Set(lengths *Lengths) {
	if h.described == *lengths {
		return
	}
	h.described = *lengths
	h.literals = trimmed(lengths.Literal[:], minLiterals)
	h.distances = trimmed(lengths.Distance[:], minDistances)
	// What a run costs depends on the code of the lengths, which depends on
	// the runs: first with the usual costs, then with those of the first code.
	h.describe(&h.plans[0], lengths, &typicalCosts)
	costs := h.plans[0].costs()
	h.describe(&h.plans[1], lengths, &costs)
	h.best = 0
	if h.plans[1].sizeBits < h.plans[0].sizeBits {
		h.best = 1
	}
}

// Bits is the size of the header, including the three bits before it that tell
// the type of the block.
func (h *Header) Bits() int { return h.plan().sizeBits }

func (h *Header) plan() *headerPlan { return &h.plans[h.best] }

// Write writes the header, beginning with the type of the block. final marks
// the block as the last one.
func (h *Header) Write(w *BitWriter, final bool) { h.write(w, final, h.plan().announce) }

// write announces the given number of lengths of codes for lengths, which may
// be more than are needed.
func (h *Header) write(w *BitWriter, final bool, announce int) {
	const dynamic = 2
	p := h.plan()
	value := uint64(dynamic << 1)
	if final {
		value |= 1
	}
	value |= uint64(h.literals-minLiterals) << 3
	value |= uint64(h.distances-minDistances) << 8
	value |= uint64(announce-minLengths) << 13
	w.Write(value, fixedHeaderBits)
	for _, symbol := range lengthOrder[:announce] {
		w.Write(uint64(p.lengths[symbol]), 3)
	}
	var codes [lengthSymbols]uint16
	ReversedCodes(codes[:], p.lengths[:])
	for _, item := range p.items[:p.itemCount] {
		length := uint(p.lengths[item.symbol])
		value := uint64(codes[item.symbol]) | uint64(item.extra)<<length
		w.Write(value, length+uint(repeatExtraBits[item.symbol]))
	}
}

// describe makes a plan that is best if symbols cost what is given.
func (h *Header) describe(p *headerPlan, lengths *Lengths, costs *lengthCosts) {
	p.itemCount = 0
	p.freqs = [lengthSymbols]uint32{}
	p.addList(lengths.Literal[:h.literals], costs)
	p.addList(lengths.Distance[:h.distances], costs)
	h.builder.Build(p.lengths[:], p.freqs[:], maxLengthBits)
	p.announce = lengthSymbols
	for p.announce > minLengths && p.lengths[lengthOrder[p.announce-1]] == 0 {
		p.announce--
	}
	p.sizeBits = fixedHeaderBits + 3*p.announce
	for symbol, freq := range p.freqs {
		p.sizeBits += int(freq) * int(p.lengths[symbol]+repeatExtraBits[symbol])
	}
}

// costs are those of the plan's own code.
func (p *headerPlan) costs() (costs lengthCosts) {
	for symbol, length := range p.lengths {
		if length == 0 {
			length = maxLengthBits
		}
		costs[symbol] = int(length + repeatExtraBits[symbol])
	}
	return costs
}

// addList appends one of the two lists. Runs end with it: the accelerator does
// not take one that goes on in the other list.
func (p *headerPlan) addList(lengths []uint8, costs *lengthCosts) {
	for len(lengths) > 0 {
		run := 1
		for run < len(lengths) && lengths[run] == lengths[0] {
			run++
		}
		if lengths[0] == 0 {
			p.addZeros(run, costs)
		} else {
			p.add(headerItem{symbol: lengths[0]})
			p.addRepeats(lengths[0], run-1, costs)
		}
		lengths = lengths[run:]
	}
}

func (p *headerPlan) add(item headerItem) {
	p.items[p.itemCount] = item
	p.itemCount++
	p.freqs[item.symbol]++
}

// addRepeats appends count lengths that equal the one before them.
func (p *headerPlan) addRepeats(length uint8, count int, costs *lengthCosts) {
	const fewest, most = 3, 6
	repeats, rest := count/most, count%most
	switch {
	case most*costs[length] <= costs[repeatLast]:
		repeats, rest = 0, count
	case (repeats > 0 || rest >= fewest) && costs[repeatLast] < rest*costs[length]:
		// One repeat more is cheaper than the rest one by one.
		repeats, rest = repeats+1, 0
	}
	count -= rest
	for ; repeats > 0; repeats-- {
		n := min(most, count-fewest*(repeats-1))
		p.add(headerItem{symbol: repeatLast, extra: uint8(n - fewest)})
		count -= n
	}
	for range rest {
		p.add(headerItem{symbol: length})
	}
}

// addZeros appends count lengths of 0.
func (p *headerPlan) addZeros(count int, costs *lengthCosts) {
	const fewest, few, many, most = 3, 10, 11, 138
	for count > most+many {
		p.add(headerItem{symbol: repeatZeros, extra: most - many})
		count -= most
	}
	if count > most {
		p.add(headerItem{symbol: repeatZeros, extra: 0})
		count -= many
	}
	pieces := (count + few - 1) / few // of repeatZero, that are enough
	single := count * costs[0]
	short := pieces * costs[repeatZero]
	if count < fewest {
		short = single
	}
	switch {
	case count >= many && costs[repeatZeros] <= min(single, short):
		p.add(headerItem{symbol: repeatZeros, extra: uint8(count - many)})
	case short < single:
		for ; pieces > 0; pieces-- {
			n := min(few, count-fewest*(pieces-1))
			p.add(headerItem{symbol: repeatZero, extra: uint8(n - fewest)})
			count -= n
		}
	default:
		for range count {
			p.add(headerItem{})
		}
	}
}

// trimmed is how many lengths are left without the zeros at the end.
func trimmed(lengths []uint8, least int) int {
	n := len(lengths)
	for n > least && lengths[n-1] == 0 {
		n--
	}
	return n
}

// HeaderBits is the size of the header of a dynamic block with these lengths,
// including the three bits that tell the type of the block.
func HeaderBits(lengths *Lengths) int {
	var h Header
	h.Set(lengths)
	return h.Bits()
}

// WriteHeader writes the header of a dynamic block with these lengths. Who
// writes many keeps a [Header] instead.
func WriteHeader(w *BitWriter, lengths *Lengths, final bool) {
	var h Header
	h.Set(lengths)
	h.Write(w, final)
}

package deflate

import "sabrefs/iaa/huffman"

// optimizer is the optimal parser with its memory.
//
// It finds the cheapest way through a piece if every symbol has a fixed cost.
// What symbols cost depends on how often they occur, which depends on the way:
// so it goes several times, each time with the costs of the way before. Two or
// three times are enough: then the size changes by less than a thousandth.
type optimizer struct {
	candidates candidateList
	costs      costs

	// toEnd is the least cost from each byte of the piece to the end of the
	// block. step is the first token on that way: distance - 1, and from bit 16
	// on stepLengths - length. Of equal costs the longer length wins so, which
	// makes fewer tokens to decode.
	toEnd [pieceBytes + stepLengths]uint32
	step  [pieceBytes]uint32

	histogram histogram // of the last way
	tokens    []token   // of the last way
	borders   []int     // between blocks
}

const (
	stepLengths = 512
	stepShift   = 16

	// longSteps is the length from which on only the longest of the lengths
	// with the same symbol is tried. To shorten such a match by a little is
	// hardly ever of use, and in a run every byte has 256 lengths.
	longSteps = 18
)

// longerThan is for each length the longest one with an earlier symbol.
var longerThan = func() (table [stepLengths]uint16) {
	for i, info := range lengthInfos {
		table[minMatch+i] = lengthBase[info.symbol-firstLengthSymbol] - 1
	}
	return table
}()

// walk finds the cheapest way through a block, src, which begins at the given
// byte of the piece.
func (o *optimizer) walk(src []byte, first int) {
	end := first + len(src)
	o.toEnd[end] = 0
	for i := end - 1; i >= first; i-- {
		cost := o.costs.literal[src[i-first]] + o.toEnd[i+1]
		best := uint64(cost)<<32 | (stepLengths-1)<<stepShift
		if candidates := o.candidates.of(i); len(candidates) > 0 {
			best = min(best, o.bestMatch(candidates, i, end-i))
		}
		o.toEnd[i] = min(uint32(best>>32), noCode)
		o.step[i] = uint32(best)
	}
}

// bestMatch returns the least cost to the end beginning with one of the
// candidates, and in its lower half the step.
func (o *optimizer) bestMatch(candidates []candidate, i, limit int) uint64 {
	toEnd := (*[stepLengths]uint32)(o.toEnd[i:])
	costs := &o.costs
	best := ^uint64(0)
	distance := ^uint32(0)
	var offset uint64
	for k := len(candidates); k > 0; {
		k--
		c := candidates[k]
		// The cheapest distance of those that have at least this length.
		if cost := costs.distance[c.distanceSymbol()]; cost < distance {
			distance, offset = cost, uint64(c.offset())
		}
		shortest := minMatch
		if k > 0 {
			shortest = candidates[k-1].length() + 1
		}
		for length := min(c.length(), limit); length >= shortest; {
			cost := distance + costs.length[length&(stepLengths-1)] + toEnd[length&(stepLengths-1)]
			best = min(best, uint64(cost)<<32|uint64(stepLengths-length)<<stepShift|offset)
			if length >= longSteps {
				length = int(longerThan[length&(stepLengths-1)])
			} else {
				length--
			}
		}
	}
	return best
}

// follow makes tokens of the way and counts them.
func (o *optimizer) follow(src []byte, first int) {
	o.histogram.begin()
	o.tokens = o.tokens[:0]
	for i := 0; i < len(src); {
		step := o.step[first+i]
		length := stepLengths - step>>stepShift
		t := token(src[i])
		if length > 1 {
			t = matchToken(length, step&(1<<stepShift-1)+1)
		}
		o.tokens = append(o.tokens, t)
		o.histogram.add(t)
		i += int(length)
	}
}

// guess parses lazily and sets the costs, to have some to begin with.
func (o *optimizer) guess(src []byte) {
	h := &o.histogram
	h.begin()
	for i := 0; i < len(src); {
		c := o.candidates.longest(i)
		length := c.length()
		if !worthwhile(length, c.offset()+1) || o.candidates.longest(i+1).length() > length {
			h.literal[src[i]]++
			i++
			continue
		}
		h.add(matchToken(uint32(length), c.offset()+1))
		i += length
	}
	o.costs.setEntropy(h)
}

// parseOptimal parses a piece into one or several blocks.
func (e *Encoder) parseOptimal(from, to int, params *params) {
	o := e.optimizer
	src := e.window.buf[from:to]
	o.candidates.collect(e.chains, &e.window, from, to, params)
	o.guess(src)
	if params.splitBytes == 0 || len(src) <= params.splitBytes {
		e.optimize(from, to, 0, params)
		return
	}
	for range 2 {
		o.walk(src, 0)
		o.follow(src, 0)
		o.costs.setEntropy(&o.histogram)
	}
	whole := o.costs
	o.borders = e.splitter.split(o.borders[:0], o.tokens, params)
	first := 0
	for _, border := range o.borders {
		o.costs = whole
		e.optimize(from+first, from+border, first, params)
		first = border
	}
}

// optimize parses one block, which begins at the given byte of the piece, with
// costs to begin with.
func (e *Encoder) optimize(from, to, first int, params *params) {
	o := e.optimizer
	src := e.window.buf[from:to]
	b := e.beginBlock(from, to)
	least := int(^uint(0) >> 1)
	var lengths huffman.Lengths
	for pass := 1; pass <= params.iterations; pass++ {
		o.walk(src, first)
		o.follow(src, first)
		if size := e.chooseLengths(&lengths, &o.histogram, &quickly); size < least {
			least = size
			e.histogram = o.histogram
			e.tokens = append(e.tokens[:b.tokens.begin], o.tokens...)
		}
		switch {
		case pass < params.iterations-1:
			o.costs.setEntropy(&o.histogram)
		case pass < params.iterations:
			// The last time with the very codes that are likely to be used.
			e.chooseLengths(&lengths, &o.histogram, params)
			o.costs.setLengths(&lengths, rareCost)
		}
	}
	e.endBlock(b, params)
}

// quickly are the parameters of codes with which ways are compared.
var quickly params

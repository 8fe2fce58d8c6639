package densezstd

import (
	"math"
	"slices"
)

// optimalParser looks for the cheapest way through a frame: position by
// position, it extends the cheapest way that leads there by one literal and by
// every match. What is cheap depends on the tables that the result will get,
// so the first pass takes what guest memory usually costs, and a second one
// what the result of the first would.
type optimalParser struct {
	effort optimalEffort
	finder matchFinder
	src    []byte
	prices prices
	// arrivals and states have an entry for each position and the end.
	arrivals []arrival
	states   []state
	// matches of positions below searched are found[foundEnd[at-1]:foundEnd[at]].
	found    []match
	foundEnd []uint32
	searched int
	splitter splitter
}

// optimalEffort is how much an optimalParser tries.
type optimalEffort struct {
	passes int
	// nice is the length from which on a match is taken whole, without a
	// look at what begins within it.
	nice uint32
	// thrifty leaves out positions from which hardly anything is gained:
	// those whose next one costs hardly more already, and most of those far
	// into a run of literals.
	thrifty bool
}

// thriftySlack is by how much the next position may cost more than one that a
// thrifty parser leaves out.
const thriftySlack = 2 * bitCost

// matchFinder finds matches of three bytes and more. Positions come in order.
type matchFinder interface {
	// start forgets the frame before and takes src.
	start(src []byte)
	// collect appends the matches of a position, longer ones last, none of
	// them longer than niceLen. At least tailBytes follow the position.
	collect(found []match, at int) []match
}

// tailBytes is where, before the end of a frame, no match begins: words are
// read whole.
const tailBytes = 8

// arrival is the last step of the cheapest known way to a position: its cost,
// then the length of the match, 0 for a literal, then its offset. With the cost
// on top, the least arrival is the cheapest.
type arrival uint64

const (
	arrivalCostShift   = 34
	arrivalLengthShift = 18
	arrivalOffsetMask  = 1<<arrivalLengthShift - 1
	arrivalLengthMask  = 1<<(arrivalCostShift-arrivalLengthShift) - 1

	unreached arrival = math.MaxUint64
)

func newArrival(cost, length, offset uint32) arrival {
	return arrival(cost)<<arrivalCostShift | arrival(length)<<arrivalLengthShift | arrival(offset)
}

func (a arrival) cost() uint32   { return uint32(a >> arrivalCostShift) }
func (a arrival) length() uint32 { return uint32(a >> arrivalLengthShift & arrivalLengthMask) }
func (a arrival) offset() uint32 { return uint32(a & arrivalOffsetMask) }

// state is what the decoder's would be at a position.
type state struct {
	repeats repeats
	litLen  uint32
}

func newOptimalParser(maxBytes int, finder matchFinder, effort optimalEffort) *optimalParser {
	return &optimalParser{
		effort:   effort,
		finder:   finder,
		arrivals: make([]arrival, maxBytes+1),
		states:   make([]state, maxBytes+1),
		foundEnd: make([]uint32, maxBytes+1),
	}
}

func (o *optimalParser) parse(p *parsed, src []byte) {
	o.src = src
	o.finder.start(src)
	o.found, o.searched = o.found[:0], 0
	o.walkFirst()
	o.trace(p)
	for range o.effort.passes - 1 {
		p.gatherLiterals(src)
		o.walkAgain(o.splitter.split(p, len(src)))
		o.trace(p)
	}
}

// walkFirst finds the cheapest arrivals at usual prices of sequences, and at
// prices of literals that suit each page.
func (o *optimalParser) walkFirst() {
	o.prices.setCodes(&usualCodes)
	o.startWalk()
	at := 0
	for page := 0; page < len(o.src); page += splitGrain {
		end := min(page+splitGrain, len(o.src))
		counts := usualLiterals
		countBytes(&counts, o.src[page:end])
		o.prices.setLiterals(&counts)
		at = o.walk(at, end)
	}
}

// walkAgain finds the cheapest arrivals at the prices of the blocks that the
// pass before would lead to.
func (o *optimalParser) walkAgain(cuts []cut) {
	o.startWalk()
	at := 0
	for i, c := range cuts {
		o.prices.setCodes(&o.splitter.chunks[i].codes)
		o.prices.setLiterals(&o.splitter.chunks[i].literals)
		at = o.walk(at, c.src)
	}
}

// startCost is more than one step can save: a further literal may make the run
// of literals cheaper, and costs are not to fall below zero.
const startCost = 64 * bitCost

func (o *optimalParser) startWalk() {
	for i := range o.arrivals[:len(o.src)+1] {
		o.arrivals[i] = unreached
	}
	o.arrivals[0] = newArrival(startCost, 0, 0)
}

// walk extends the ways to the positions from at to below end and returns the
// first that it did not.
func (o *optimalParser) walk(at, end int) int {
	lastMatch := len(o.src) - tailBytes
	for at < end {
		a := o.arrivals[at]
		if a == unreached {
			at++
			continue
		}
		s := o.enter(at, a)
		cost := a.cost()
		o.tryLiteral(at, cost, s.litLen)
		if at > lastMatch || o.effort.thrifty && o.arrivals[at+1].cost() <= cost+thriftySlack {
			at++
			continue
		}
		at += o.tryMatches(at, cost+o.prices.shortLit[0], s)
	}
	return at
}

// enter derives the state at a position from where its cheapest way comes
// from, which cannot change any more.
func (o *optimalParser) enter(at int, a arrival) *state {
	s := &o.states[at]
	length := a.length()
	if length != 0 {
		*s = o.states[at-int(length)]
		s.repeats.use(a.offset(), s.repeats.value(a.offset(), s.litLen), s.litLen)
		s.litLen = 0
		return s
	}
	if at == 0 {
		*s = state{repeats: firstRepeats}
		return s
	}
	before := &o.states[at-1]
	s.repeats, s.litLen = before.repeats, before.litLen+1
	return s
}

func (o *optimalParser) tryLiteral(at int, cost, litLen uint32) {
	cost += o.prices.literal[o.src[at]] + o.prices.oneMoreLiteral(litLen)
	o.arrivals[at+1] = min(o.arrivals[at+1], newArrival(cost, 0, 0))
}

// tryMatches extends the way to a position by matches. base is its cost and
// that of no literals after a match. It returns how far the next position is.
func (o *optimalParser) tryMatches(at int, base uint32, s *state) int {
	longest := o.tryRepeats(at, base, s)
	shortest := uint32(minMatchFormat)
	for _, m := range o.search(at, s.litLen) {
		// That the offset may be a recent one has been tried.
		o.tryMatch(at, base+o.prices.offset[offsetCode(m.offset+repeatCodes)&maxOffsetCode], shortest, m)
		shortest = m.length + 1
		longest = max(longest, m.length)
	}
	if longest >= o.effort.nice {
		return int(longest)
	}
	return 1
}

// tryRepeats tries the matches at recent offsets and returns the longest.
func (o *optimalParser) tryRepeats(at int, base uint32, s *state) (longest uint32) {
	offsets := s.repeats
	if s.litLen == 0 {
		offsets[0], offsets[1], offsets[2] = offsets[1], offsets[2], offsets[0]-1
	}
	word := load32(o.src, at)
	for i, offset := range offsets {
		from := at - int(offset)
		if uint(from) >= uint(at) || (load32(o.src, from)^word)<<8 != 0 {
			continue // outside the frame, or different
		}
		length := uint32(min(commonLength(o.src, from+3, at+3)+3, maxMatchLen))
		o.tryMatch(at, base+o.prices.offset[(i+1)>>1], minMatchFormat, match{length, offset})
		longest = max(longest, length)
	}
	return longest
}

// tryMatch tries a match with all its beginnings from shortest on.
func (o *optimalParser) tryMatch(at int, base, shortest uint32, m match) {
	if m.length >= o.effort.nice {
		end := &o.arrivals[at+int(m.length)]
		*end = min(*end, newArrival(base+o.prices.matchLen(m.length), m.length, m.offset))
		return
	}
	arrivals := o.arrivals[at : at+int(m.length)+1]
	steps := o.prices.steps[:len(arrivals)]
	from := newArrival(base, 0, m.offset)
	for n := int(shortest); n < len(arrivals); n++ {
		arrivals[n] = min(arrivals[n], from+steps[n])
	}
}

// search returns the matches at a position. The first pass finds them for the
// others; it leaves none for the positions that it passes over.
func (o *optimalParser) search(at int, litLen uint32) []match {
	if at < o.searched {
		return o.found[o.foundEnd[at]:o.foundEnd[at+1]]
	}
	end := len(o.found)
	for ; o.searched <= at; o.searched++ {
		o.foundEnd[o.searched] = uint32(end)
	}
	if at&int(litLen>>6) == 0 {
		o.found = o.finder.collect(o.found, at)
	}
	if n := len(o.found); n > end && o.found[n-1].length >= niceLen {
		o.found[n-1].extend(o.src, at)
	}
	o.foundEnd[at+1] = uint32(len(o.found))
	return o.found[end:]
}

// trace turns the cheapest way to the end into sequences.
func (o *optimalParser) trace(p *parsed) {
	p.sequences = p.sequences[:0]
	end := o.beforeLiterals(len(o.src))
	for end > 0 {
		a := o.arrivals[end]
		start := end - int(a.length())
		end = o.beforeLiterals(start)
		p.sequences = append(p.sequences, sequence{uint32(start - end), a.length(), a.offset()})
	}
	slices.Reverse(p.sequences)
}

// beforeLiterals returns where the literals before a position begin.
func (o *optimalParser) beforeLiterals(at int) int {
	for at > 0 && o.arrivals[at].length() == 0 {
		at--
	}
	return at
}

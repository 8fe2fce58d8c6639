package densezstd

import (
	"math"
	"slices"
)

// optimalParser looks for the cheapest way through a frame: position by
// position, it extends the cheapest way that leads there by a literal and by
// every match, at the prices that the parse before suggests.
type optimalParser struct {
	first     *lazyParser
	finder    matchFinder
	passes    int
	src       []byte
	found     []foundMatch
	foundEnd  []uint32 // by position: where its matches end in found
	collected int
	arrivals  []arrival
	states    []state
	plan      splitter
	prices    prices
}

// arrival is the last step of the cheapest known way to a position.
type arrival struct {
	cost   int32
	length uint32 // of the match, 0 is a literal
	offset uint32
}

type matchFinder interface {
	start(src []byte)
	insertTo(end int)
	collect(found []foundMatch, at int) []foundMatch
}

// state is what the decoder's would be at a position.
type state struct {
	repeats repeats
	litLen  uint32
}

const unreached = math.MaxInt32

func newOptimalParser(maxBytes int, finder matchFinder, passes int) *optimalParser {
	return &optimalParser{
		first:    newLazyParser(maxBytes, 8, 1),
		finder:   finder,
		passes:   passes,
		foundEnd: make([]uint32, maxBytes+1),
		arrivals: make([]arrival, maxBytes+1),
		states:   make([]state, maxBytes+1),
	}
}

func (o *optimalParser) parse(p *parsed, src []byte) {
	if tA < 2 {
		o.first.parse(p, src)
	}
	if len(src) < 16 {
		return
	}
	o.src = src
	o.finder.start(src)
	o.found = o.found[:0]
	o.collected = 0
	for i := range o.passes {
		p.gatherLiterals(src)
		var cuts []cut
		if i == 0 && tA > 0 {
			if tA >= 2 {
				p.sequences = p.sequences[:0]
				p.literals = append(p.literals[:0], src...)
			}
			cuts = o.plan.split(p, len(src))
			if tA >= 3 {
				o.plan.cutChunks(p, len(src))
				o.plan.countChunks(p)
				cuts = o.plan.cuts[:o.plan.count]
			}
			for i := range cuts {
				c := &o.plan.chunks[i]
				c.codes = seedCounts
				if tB > 0 {
					for i := range c.literals {
						c.literals[i] += uint32(tB) + seedLiterals[i]*uint32(tF)>>8
					}
				}
			}
		} else {
			cuts = o.plan.split(p, len(src))
		}
		o.walk(cuts)
		o.trace(p)
	}
}

// matches returns the matches at a position. In the first pass it searches for
// them, and leaves none for positions that were passed over.
func (o *optimalParser) matches(at int, litLen uint32) []foundMatch {
	if at < o.collected {
		return o.found[o.foundEnd[at]:o.foundEnd[at+1]]
	}
	end := uint32(len(o.found))
	o.foundEnd[at] = end
	for o.collected < at {
		o.collected++
		o.foundEnd[o.collected] = end
	}
	o.collected++
	if litLen > 64 && at&int(litLen>>6) != 0 && tD == 1 {
		o.finder.insertTo(at + 1)
		o.foundEnd[at+1] = end
		return nil
	}
	o.finder.insertTo(at)
	o.found = o.finder.collect(o.found, at)
	if n := len(o.found); n > int(end) && o.found[n-1].length >= niceLen {
		m := &o.found[n-1]
		m.length += uint32(commonLength(o.src, at+int(m.length)-int(m.offset), at+int(m.length)))
		m.length = min(m.length, maxMatchLen)
	}
	o.foundEnd[at+1] = uint32(len(o.found))
	return o.found[end:]
}

// walk finds the cheapest arrivals everywhere.
func (o *optimalParser) walk(cuts []cut) {
	for i := range o.arrivals[:len(o.src)+1] {
		o.arrivals[i].cost = unreached
	}
	o.arrivals[0] = arrival{}
	at := 0
	for i, c := range cuts {
		o.prices.set(&o.plan.chunks[i])
		at = o.walkBlock(at, min(c.src, len(o.src)-7))
	}
	for ; at < len(o.src); at++ {
		o.tryLiteral(at, o.arrivals[at].cost, o.enter(at))
	}
}

// walkBlock leaves the positions from at to below end, which is at least eight
// bytes before the end of src, and returns the next.
func (o *optimalParser) walkBlock(at, end int) int {
	matchHead := o.prices.shortLit[0]
	for at < end {
		cost := o.arrivals[at].cost
		if cost == unreached {
			at++
			continue
		}
		s := o.enter(at)
		o.tryLiteral(at, cost, s)
		if tE > -1000 && o.arrivals[at+1].cost <= cost+int32(tE) {
			at++
			continue
		}
		longest := o.tryRepeats(at, s, cost+matchHead)
		shortest := uint32(minMatchFormat)
		for _, m := range o.matches(at, s.litLen) {
			// That the offset might be a recent one was tried already.
			o.tryMatch(at, shortest, m, cost+matchHead+o.prices.offset[offsetCode(m.offset+repeatCodes)&maxOffsetCode])
			shortest = m.length + 1
			longest = max(longest, m.length)
		}
		at++
		if longest >= uint32(tNice) {
			at += int(longest) - 1
		}
	}
	return at
}

func (o *optimalParser) tryLiteral(at int, cost int32, s *state) {
	cost += o.prices.literal[o.src[at]] + o.prices.oneMore(s.litLen)
	if a := &o.arrivals[at+1]; cost < a.cost {
		a.cost, a.length = cost, 0
	}
}

// enter derives the state at a position from where its cheapest way comes
// from, which cannot change any more.
func (o *optimalParser) enter(at int) *state {
	s := &o.states[at]
	if at == 0 {
		*s = state{repeats: firstRepeats}
		return s
	}
	a := &o.arrivals[at]
	if a.length == 0 {
		before := &o.states[at-1]
		s.repeats, s.litLen = before.repeats, before.litLen+1
		return s
	}
	*s = o.states[at-int(a.length)]
	s.repeats.use(a.offset, s.repeats.value(a.offset, s.litLen), s.litLen)
	s.litLen = 0
	return s
}

// tryRepeats tries the matches at recent offsets and returns the longest.
func (o *optimalParser) tryRepeats(at int, s *state, base int32) (longest uint32) {
	offsets := s.repeats
	if s.litLen == 0 {
		offsets[0], offsets[1], offsets[2] = offsets[1], offsets[2], offsets[0]-1
	}
	src := o.src
	word := load32(src, at)
	for i, offset := range offsets {
		from := at - int(offset)
		if uint(from) >= uint(at) || (load32(src, from)^word)<<8 != 0 {
			continue
		}
		length := uint32(min(commonLength(src, from+3, at+3)+3, maxMatchLen))
		o.tryMatch(at, minMatchFormat, foundMatch{length, offset}, base+o.prices.offset[(i+1)>>1])
		longest = max(longest, length)
	}
	return longest
}

// tryMatch tries a match and all its beginnings from shortest on.
func (o *optimalParser) tryMatch(at int, shortest uint32, m foundMatch, base int32) {
	if m.length >= uint32(tNice) {
		a := &o.arrivals[at+int(m.length)]
		if cost := base + o.prices.matchLen(m.length); cost < a.cost {
			*a = arrival{cost, m.length, m.offset}
		}
		return
	}
	arrivals := o.arrivals[at : at+int(m.length)+1]
	lengths := o.prices.shortMatch[:len(arrivals)]
	for n := m.length; n >= shortest; n-- {
		a := &arrivals[n]
		if cost := base + lengths[n]; cost < a.cost {
			*a = arrival{cost, n, m.offset}
		} else if tC > 0 {
			return
		}
	}
}

// trace turns the cheapest way to the end into sequences.
func (o *optimalParser) trace(p *parsed) {
	p.sequences = p.sequences[:0]
	end := len(o.src)
	for end > 0 && o.arrivals[end].length == 0 {
		end--
	}
	for end > 0 {
		a := o.arrivals[end]
		end -= int(a.length)
		start := end
		for end > 0 && o.arrivals[end].length == 0 {
			end--
		}
		p.sequences = append(p.sequences, sequence{uint32(start - end), a.length, a.offset})
	}
	slices.Reverse(p.sequences)
}

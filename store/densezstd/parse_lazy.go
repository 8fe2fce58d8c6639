package densezstd

// lazyParser takes the best match at a position, unless one of the next
// positions has a better one.
type lazyParser struct {
	finder  *chainFinder
	depth   int // how many next positions are tried
	src     []byte
	repeats repeats
}

func newLazyParser(maxBytes, attempts, depth int) *lazyParser {
	return &lazyParser{finder: newChainFinder(maxBytes, attempts), depth: depth}
}

// skipShift is how soon a search that finds nothing takes longer steps: every
// 2^skipShift bytes.
const skipShift = 7

func (l *lazyParser) parse(p *parsed, src []byte) {
	l.finder.start(src)
	l.src = src
	l.repeats = firstRepeats
	limit := len(src) - 8
	anchor := 0
	for at := 1; at < limit; {
		m := l.bestAt(at, anchor)
		if m.length < 3 {
			at += 1 + (at-anchor)>>tSkip
			continue
		}
		start := at
		start, m = l.deferMatch(start, anchor, limit, m)
		start, m = l.extendBack(start, anchor, m)
		m.length = min(m.length, maxMatchLen)
		p.sequences = append(p.sequences, sequence{uint32(start - anchor), uint32(m.length), uint32(m.offset)})
		l.remember(uint32(m.offset))
		at = start + m.length
		anchor = at
	}
}

// bestAt returns the match with the highest score at a position.
func (l *lazyParser) bestAt(at, anchor int) match {
	rep := l.repeatAt(at, at == anchor)
	if rep.length >= 24 {
		return rep
	}
	m := l.finder.find(at, rep.length)
	if m.length == 0 || repScore(rep)+tRepBonus >= score(m) {
		return rep
	}
	return m
}

// repeatAt returns the longest match at a recent offset.
func (l *lazyParser) repeatAt(at int, noLits bool) (best match) {
	word := load32(l.src, at)
	for i, offset := range l.repeats {
		if i == 0 && noLits {
			continue
		}
		from := at - int(offset)
		if from < 0 {
			continue
		}
		diff := load32(l.src, from) ^ word
		if diff<<8 != 0 {
			continue
		}
		if diff != 0 {
			if tRep3 == 1 && best.length == 0 {
				best = match{3, int(offset)}
			}
			continue
		}
		if length := commonLength(l.src, from+4, at+4) + 4; length > best.length {
			best = match{length, int(offset)}
		}
	}
	return best
}

func repScore(m match) int { return 4 * m.length }

// score is about four times the bytes that a match saves.
func score(m match) int {
	return 4*m.length - int(bitLen(uint32(m.offset)))
}

func (l *lazyParser) anyScore(m match) int {
	if m.length == 0 {
		return -1000
	}
	if uint32(m.offset) == l.repeats[0] || uint32(m.offset) == l.repeats[1] || uint32(m.offset) == l.repeats[2] {
		return repScore(m)
	}
	return score(m)
}

// deferMatch returns a later match if it is worth the literals before it.
func (l *lazyParser) deferMatch(at, anchor, limit int, m match) (int, match) {
	for tried, next := 0, at+1; tried < l.depth && next < limit; {
		other := l.bestAt(next, anchor)
		tried++
		if other.length >= minChainMatch && l.anyScore(other) > l.anyScore(m)+tDefer*tried+1 {
			at, m, tried = next, other, 0
		}
		next++
	}
	return at, m
}

// extendBack lets a match begin earlier.
func (l *lazyParser) extendBack(at, anchor int, m match) (int, match) {
	for at > anchor && at-m.offset > 0 && l.src[at-1] == l.src[at-1-m.offset] {
		at--
		m.length++
	}
	return at, m
}

// remember moves offset to the front.
func (l *lazyParser) remember(offset uint32) {
	r := &l.repeats
	switch offset {
	case r[0]:
	case r[1]:
		r[0], r[1] = r[1], r[0]
	default:
		r[0], r[1], r[2] = offset, r[0], r[1]
	}
}

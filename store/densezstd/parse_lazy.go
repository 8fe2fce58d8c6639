package densezstd

// lazyParser takes the best match at a position, unless the next position has
// a better one.
type lazyParser struct {
	finder  *chainFinder
	src     []byte
	repeats repeats
}

func newLazyParser(finder *chainFinder) *lazyParser {
	return &lazyParser{finder: finder}
}

const (
	// skipShift is how soon a search that finds nothing takes longer steps:
	// every 2^skipShift bytes.
	skipShift = 6
	// niceRepeat is the length from which on a match at a recent offset is
	// taken without looking for another, niceLazy that of any match which is
	// taken without a look at the next position.
	niceRepeat = 16
	niceLazy   = 16
	// deferScore is by how much the next position's match must be better, as
	// it costs a literal.
	deferScore = 4
)

func (l *lazyParser) parse(p *parsed, src []byte) {
	l.finder.start(src)
	l.src = src
	l.repeats = firstRepeats
	anchor, limit := 0, len(src)-tailBytes
	for at := 1; at <= limit; {
		m, score := l.bestAt(at, at == anchor)
		if m.length == 0 {
			at += 1 + (at-anchor)>>skipShift
			continue
		}
		at, m = l.deferMatch(at, limit, m, score)
		at, m = l.extendBack(at, anchor, m)
		m.length = min(m.length, maxMatchLen)
		p.sequences = append(p.sequences, sequence{uint32(at - anchor), m.length, m.offset})
		l.remember(m.offset)
		at += int(m.length)
		anchor = at
	}
}

// deferMatch moves on while the next position has a better match.
func (l *lazyParser) deferMatch(at, limit int, m match, score int) (int, match) {
	for at < limit && m.length < niceLazy {
		next, nextScore := l.bestAt(at+1, false)
		if next.length == 0 || nextScore <= score+deferScore {
			break
		}
		at, m, score = at+1, next, nextScore
	}
	return at, m
}

// bestAt returns the best match at a position and how good it is: about four
// times the bytes that it saves.
func (l *lazyParser) bestAt(at int, afterMatch bool) (match, int) {
	repeat := l.repeatAt(at, afterMatch)
	repeatScore := 4 * int(repeat.length)
	if repeat.length >= niceRepeat {
		return repeat, repeatScore
	}
	m := l.finder.find(at, repeat.length)
	score := 4*int(m.length) - int(bitLen(m.offset))
	if m.length == 0 || repeatScore >= score {
		return repeat, repeatScore
	}
	return m, score
}

// repeatAt returns the longest match at a recent offset. The latest cannot
// follow a match at itself.
func (l *lazyParser) repeatAt(at int, afterMatch bool) (best match) {
	offsets := l.repeats[:]
	if afterMatch {
		offsets = offsets[1:]
	}
	word := load32(l.src, at)
	for _, offset := range offsets {
		from := at - int(offset)
		if from < 0 || (load32(l.src, from)^word)<<8 != 0 {
			continue
		}
		if length := uint32(commonLength(l.src, from+3, at+3) + 3); length > best.length {
			best = match{length, offset}
		}
	}
	return best
}

// extendBack lets a match begin earlier.
func (l *lazyParser) extendBack(at, anchor int, m match) (int, match) {
	for at > anchor && at > int(m.offset) && l.src[at-1] == l.src[at-1-int(m.offset)] {
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
		r[0], r[1] = offset, r[0]
	default:
		r[0], r[1], r[2] = offset, r[0], r[1]
	}
}

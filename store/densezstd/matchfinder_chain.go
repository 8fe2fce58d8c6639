package densezstd

// chainFinder finds matches along chains: positions with the same hash of
// their next four bytes form one, the latest first.
type chainFinder struct {
	src     []byte
	triples tripleTable
	head    [1 << chainHashBits]uint32 // by hash: base + the latest position, or less than base
	prev    []uint32                   // by position: as head, the position before it
	base    uint32                     // what earlier frames left is below
	next    int                        // positions below are inserted
	// attempts is how many positions of a chain are looked at.
	attempts int
}

const (
	chainHashBits = 15
	minChainMatch = 4
)

func newChainFinder(maxBytes, attempts int) *chainFinder {
	return &chainFinder{prev: make([]uint32, maxBytes), attempts: attempts}
}

// start forgets the frame before and takes src.
func (f *chainFinder) start(src []byte) {
	f.base += uint32(len(f.src))
	if f.base == 0 || f.base > maxBase {
		clear(f.head[:])
		clear(f.triples.latest[:])
		f.base = 1
	}
	f.src, f.next = src, 0
}

func chainHash(word uint32) uint32 { return word * hashFactor >> (32 - chainHashBits) }

// push makes a position the first of its chain and returns the link to the
// one that was.
func (f *chainFinder) push(at int, word uint32) uint32 {
	for f.next < at {
		f.link(f.next, load32(f.src, f.next))
	}
	return f.link(at, word)
}

func (f *chainFinder) link(at int, word uint32) uint32 {
	head := &f.head[chainHash(word)]
	link := *head
	f.prev[at] = link
	*head = f.base + uint32(at)
	f.next = at + 1
	return link
}

// find inserts position at, which at least tailBytes follow, and returns its
// longest match if that is longer than atLeast.
func (f *chainFinder) find(at int, atLeast uint32) match {
	src := f.src
	word := load32(src, at)
	best := match{length: max(atLeast, minChainMatch-1)}
	link := f.push(at, word)
	for n := f.attempts; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		link = f.prev[from]
		last := int(best.length) - 3
		if at+last+4 > len(src) {
			break
		}
		// Most are not longer: look first at what a longer one would have.
		if load32(src, from+last) != load32(src, at+last) || load32(src, from) != word {
			continue
		}
		if length := uint32(commonLength(src, from+4, at+4) + 4); length > best.length {
			best = match{length, uint32(at - from)}
		}
	}
	if best.offset == 0 {
		return match{}
	}
	return best
}

// collect inserts position at and appends its matches.
func (f *chainFinder) collect(found []match, at int) []match {
	src := f.src[:min(len(f.src), at+niceLen)]
	word := load32(src, at)
	link := f.push(at, word)
	best, before := minChainMatch-1, len(found)
	found = f.triples.replace(found, f.src, at, f.base)
	if len(found) > before {
		best = int(found[before].length)
	}
	for n := f.attempts; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		link = f.prev[from]
		if at+best >= len(src) {
			break
		}
		if src[from+best] != src[at+best] || load32(src, from) != word {
			continue
		}
		if length := commonLength(src, from+4, at+4) + 4; length > best {
			best = length
			found = append(found, match{uint32(length), uint32(at - from)})
		}
	}
	return found
}

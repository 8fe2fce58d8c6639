package densezstd

// treeFinder finds at each position the nearest match of every length. The
// positions with the same hash form a binary tree: it is ordered by the text
// that follows them, and no child is later than its parent, so the way down to
// a text meets ever older positions that have ever more in common with it.
type treeFinder struct {
	src      []byte
	head     []uint32 // by hash of four bytes: the root as base + position
	head3    []uint32 // by hash of three bytes: the latest base + position
	children []uint32 // by position: those with lesser, and with greater text
	next     int
	spare    []foundMatch
	base     uint32 // what earlier frames left in head and head3 is below
	depth    int    // how many nodes are looked at
}

const (
	treeHashBits  = 16
	tree3HashBits = 14
	// niceLen is where texts count as the same for the tree, and matches as
	// so long that nothing better is looked for within them.
	niceLen = 256
)

func newTreeFinder(maxBytes, depth int) *treeFinder {
	return &treeFinder{
		head:     make([]uint32, 1<<treeHashBits),
		head3:    make([]uint32, 1<<tree3HashBits),
		children: make([]uint32, 2*maxBytes),
		depth:    depth,
	}
}

// start forgets the frame before and takes src.
func (f *treeFinder) start(src []byte) {
	f.base += uint32(len(f.src))
	if f.base == 0 || f.base > 1<<31 {
		clear(f.head)
		clear(f.head3)
		f.base = 1
	}
	f.src = src
	f.next = 0
}

// match is a repetition: the next length bytes are those offset bytes before.
type foundMatch struct{ length, offset uint32 }

// collect inserts position at, which has at least eight bytes before the end,
// and appends its matches, longer ones last. Positions must come in order,
// each once.
func (f *treeFinder) collect(found []foundMatch, at int) []foundMatch {
	word := load32(f.src, at)
	best := minMatchFormat - 1
	h3 := word << 8 * 0x9E3779B1 >> (32 - tree3HashBits)
	if link := f.head3[h3]; link >= f.base {
		from := int(link - f.base)
		if (load32(f.src, from)^word)<<8 == 0 {
			best = commonLength(f.src, from, at)
			found = append(found, foundMatch{uint32(best), uint32(at - from)})
		}
	}
	f.head3[h3] = f.base + uint32(at)
	f.next = at + 1
	return f.descend(found, at, best, word)
}

func (f *treeFinder) insertTo(end int) {
	end = min(end, len(f.src)-8)
	for ; f.next < end; f.next++ {
		f.spare = f.descend(f.spare[:0], f.next, 2, load32(f.src, f.next))
	}
}

// descend inserts at as the root of its tree, which splits the tree into texts
// less and greater, and appends the matches longer than best on the way.
func (f *treeFinder) descend(found []foundMatch, at, best int, word uint32) []foundMatch {
	src, children := f.src, f.children
	h := word * 0x9E3779B1 >> (32 - treeHashBits)
	link := f.head[h]
	f.head[h] = f.base + uint32(at)
	less, greater := 2*at, 2*at+1
	sameLess, sameGreater := 0, 0
	end := min(len(src), at+niceLen)
	for n := f.depth; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		same := min(sameLess, sameGreater)
		same += commonLength(src[:end], from+same, at+same)
		if same > best {
			best = same
			found = append(found, foundMatch{uint32(same), uint32(at - from)})
		}
		if at+same >= end {
			// Indistinguishable: at takes the place of from.
			children[less], children[greater] = children[2*from], children[2*from+1]
			return found
		}
		if src[from+same] < src[at+same] {
			children[less] = link
			less, sameLess = 2*from+1, same
			link = children[less]
		} else {
			children[greater] = link
			greater, sameGreater = 2*from, same
			link = children[greater]
		}
	}
	children[less], children[greater] = 0, 0
	return found
}

package densezstd

// treeFinder finds at each position the nearest match of every length. The
// positions with the same hash of four bytes form a binary tree: it is ordered
// by the text that follows them, and no child is later than its parent, so the
// way down towards a text meets ever older positions that have ever more in
// common with it.
type treeFinder struct {
	src      []byte
	triples  tripleTable
	root     [1 << treeHashBits]uint32 // by hash: base + position, or less than base
	children []uint32                  // by position: as root, those with lesser and with greater text
	base     uint32                    // what earlier frames left is below
	next     int                       // positions below are inserted
	depth    int                       // how many nodes are looked at
	ignored  []match
}

const treeHashBits = 16

// maxBase is from where on the next frame clears the tables.
const maxBase = 1 << 31

func newTreeFinder(maxBytes, depth int) *treeFinder {
	return &treeFinder{children: make([]uint32, 2*maxBytes), depth: depth}
}

// start forgets the frame before and takes src.
func (f *treeFinder) start(src []byte) {
	f.base += uint32(len(f.src))
	if f.base == 0 || f.base > maxBase {
		clear(f.root[:])
		clear(f.triples.latest[:])
		f.base = 1
	}
	f.src, f.next = src, 0
}

// collect inserts position at, after those before it that were passed over,
// and appends its matches.
func (f *treeFinder) collect(found []match, at int) []match {
	for ; f.next < at; f.next++ {
		f.ignored = f.descend(f.ignored[:0], f.next, niceLen)
	}
	f.next = at + 1
	before := len(found)
	found = f.triples.replace(found, f.src, at, f.base)
	best := minMatchFormat
	if len(found) > before {
		best = int(found[before].length)
	}
	return f.descend(found, at, best)
}

// descend makes at the root of its tree. On the way down from the old root it
// splits the tree into texts less and greater, and appends the matches longer
// than best.
func (f *treeFinder) descend(found []match, at, best int) []match {
	src, children := f.src[:min(len(f.src), at+niceLen)], f.children
	root := &f.root[load32(src, at)*hashFactor>>(32-treeHashBits)]
	link := *root
	*root = f.base + uint32(at)
	// Where the next lesser and greater node goes, and what all of those have
	// in common with at.
	less, greater := 2*at, 2*at+1
	sameLess, sameGreater := 0, 0
	for n := f.depth; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		same := min(sameLess, sameGreater)
		same += commonLength(src, from+same, at+same)
		if same > best {
			best = same
			found = append(found, match{uint32(same), uint32(at - from)})
		}
		if at+same >= len(src) {
			// The same, as far as is compared: at takes the place of from.
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

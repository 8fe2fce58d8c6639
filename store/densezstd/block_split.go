package densezstd

// A frame of guest memory holds unrelated pages, and each block has tables of
// its own. The splitter first cuts a frame about every splitGrain bytes and
// then joins neighbors again while the estimate says that one block for both
// is cheaper than two.

const (
	splitGrain = 4096 // a guest page
	maxChunks  = MaxBytes/splitGrain + 1
)

// cut is a place where a block may end: before or after a match or within
// literals, never within a match.
type cut struct {
	src, literal, sequence int    // how much lies before
	litsBefore             uint32 // literals of the next sequence before the cut
}

// splitter decides where blocks end.
type splitter struct {
	cuts   [maxChunks]cut
	chunks [maxChunks]*chunkStats // up to cuts[i]
	costs  [maxChunks]uint64      // of chunks[i]
	gains  [maxChunks]int64       // of joining chunks[i] and [i+1]
	count  int
	joined chunkStats
	stats  [maxChunks]chunkStats
}

// chunkStats is what the cost of a block depends on.
type chunkStats struct {
	bytes    int
	literals [256]uint32
	codes    codeCounts
	extra    uint64 // bits below the codes
}

// split returns the ends of the blocks, in order; the last is the frame's.
func (s *splitter) split(p *parsed, size int) []cut {
	s.cutChunks(p, size)
	s.countChunks(p)
	s.join()
	return s.cuts[:s.count]
}

// cutChunks cuts where the last sequence before each multiple of splitGrain
// ends, or within literals exactly there.
func (s *splitter) cutChunks(p *parsed, size int) {
	s.count = 0
	at := cut{}
	next := splitGrain
	for _, q := range p.sequences {
		start := at
		for next < size && next <= at.src+int(q.litLen) {
			lits := next - at.src
			s.addCut(cut{next, at.literal + lits, at.sequence, uint32(lits)})
			next += splitGrain
		}
		at = cut{start.src + int(q.litLen+q.matchLen), start.literal + int(q.litLen), start.sequence + 1, 0}
		if next <= at.src {
			next = at.src&^(splitGrain-1) + splitGrain
			s.addCut(at)
		}
	}
	for ; next < size; next += splitGrain {
		lits := next - at.src
		s.addCut(cut{next, at.literal + lits, at.sequence, uint32(lits)})
	}
	if s.count == 0 || s.cuts[s.count-1].src < size {
		s.addCut(cut{size, at.literal + size - at.src, len(p.sequences), 0})
	}
}

func (s *splitter) addCut(c cut) {
	s.cuts[s.count] = c
	s.count++
}

// countChunks gathers the statistics of each chunk.
func (s *splitter) countChunks(p *parsed) {
	r := firstRepeats
	from := cut{}
	for i, to := range s.cuts[:s.count] {
		c := &s.stats[i]
		s.chunks[i] = c
		*c = chunkStats{bytes: to.src - from.src}
		countBytes(&c.literals, p.literals[from.literal:to.literal])
		for n, q := range p.sequences[from.sequence:to.sequence] {
			if n == 0 {
				q.litLen -= from.litsBefore
			}
			c.count(&r, q)
		}
		s.costs[i] = c.cost()
		from = to
	}
}

func (c *chunkStats) count(r *repeats, q sequence) {
	value := r.value(q.offset, q.litLen)
	r.use(q.offset, value, q.litLen)
	lit, match, offset := litCode(q.litLen), matchCode(q.matchLen-minMatchFormat), offsetCode(value)
	c.codes.lit[lit]++
	c.codes.match[match]++
	c.codes.offset[offset]++
	c.extra += uint64(litExtra[lit] + matchExtra[match] + offset)
}

// What a block costs beyond the entropy of its parts: each different literal
// makes the Huffman table longer, each different code its FSE table. The cost
// of a block is higher than its three bytes, for the time that decoding it
// takes to build the tables.
const (
	blockCost   = 80 * byteCost
	literalCost = 3 * bitCost
	codeCost    = 6 * bitCost
)

// cost estimates the size of a block.
func (c *chunkStats) cost() uint64 {
	cost := blockCost + c.extra*bitCost
	cost += entropy(c.literals[:], literalCost)
	cost += entropy(c.codes.lit[:], codeCost) + entropy(c.codes.match[:], codeCost) + entropy(c.codes.offset[:], codeCost)
	return min(cost, uint64(c.bytes+blockHeaderBytes)*byteCost)
}

func (c *chunkStats) setSum(a, b *chunkStats) {
	c.bytes = a.bytes + b.bytes
	c.extra = a.extra + b.extra
	for i := range c.literals {
		c.literals[i] = a.literals[i] + b.literals[i]
	}
	for i := range c.codes.lit {
		c.codes.lit[i] = a.codes.lit[i] + b.codes.lit[i]
	}
	for i := range c.codes.match {
		c.codes.match[i] = a.codes.match[i] + b.codes.match[i]
	}
	for i := range c.codes.offset {
		c.codes.offset[i] = a.codes.offset[i] + b.codes.offset[i]
	}
}

// join joins the pair of neighbors that gains most until none gains.
func (s *splitter) join() {
	for i := range s.count - 1 {
		s.gains[i] = s.gain(i)
	}
	for s.count > 1 {
		best := 0
		for i, gain := range s.gains[:s.count-1] {
			if gain > s.gains[best] {
				best = i
			}
		}
		if s.gains[best] < 0 {
			return
		}
		s.joinPair(best)
	}
}

// gain returns what joining chunk i with the next saves.
func (s *splitter) gain(i int) int64 {
	a, b := s.chunks[i], s.chunks[i+1]
	if a.bytes+b.bytes > maxBlockBytes {
		return -1
	}
	s.joined.setSum(a, b)
	return int64(s.costs[i]+s.costs[i+1]) - int64(s.joined.cost())
}

func (s *splitter) joinPair(i int) {
	s.chunks[i].setSum(s.chunks[i], s.chunks[i+1])
	s.costs[i] = s.chunks[i].cost()
	copy(s.cuts[i:s.count-1], s.cuts[i+1:s.count])
	copy(s.chunks[i+1:s.count-1], s.chunks[i+2:s.count])
	copy(s.costs[i+1:s.count-1], s.costs[i+2:s.count])
	s.count--
	copy(s.gains[i:s.count-1], s.gains[i+1:s.count])
	if i > 0 {
		s.gains[i-1] = s.gain(i - 1)
	}
	if i < s.count-1 {
		s.gains[i] = s.gain(i)
	}
}

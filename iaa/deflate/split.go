package deflate

// maxUnits is how many units a piece is cut into at most for splitting.
const maxUnits = 128

// splitter finds where the statistics of a piece change so much that a block
// of its own, with its own codes, is shorter in spite of its header.
type splitter struct {
	starts [maxUnits + 1]int // of the units, and the end of the last one, in tokens
	least  [maxUnits + 1]uint32
	from   [maxUnits + 1]int
	ends   [maxUnits]int // of the blocks, in tokens

	left, right estimate
}

// split appends where blocks should end, in bytes from the first token, the last
// one being the end of all tokens.
func (s *splitter) split(borders []int, tokens []token, params *params) []int {
	units := s.cut(tokens, params.splitBytes)
	ends := s.choose(tokens, units, params.splitPenalty)
	s.refine(tokens, ends, s.starts[1])
	at, bytes := 0, 0
	for _, end := range ends {
		for ; at < end; at++ {
			bytes += tokens[at].srcBytes()
		}
		borders = append(borders, bytes)
	}
	return borders
}

// cut divides the tokens into units of about gridBytes of input and returns how
// many there are.
func (s *splitter) cut(tokens []token, gridBytes int) (units int) {
	total := 0
	for _, t := range tokens {
		total += t.srcBytes()
	}
	gridBytes = max(gridBytes, (total+maxUnits-1)/maxUnits)
	at := 0
	for i, t := range tokens {
		if at >= (units+1)*gridBytes {
			units++
			s.starts[units] = i
		}
		at += t.srcBytes()
	}
	units++
	s.starts[units] = len(tokens)
	return units
}

// choose returns the ends of blocks that are best among all ways to put them on
// the borders between units.
func (s *splitter) choose(tokens []token, units int, penalty uint32) []int {
	for to := range units {
		s.least[to+1] = ^uint32(0)
	}
	for begin := range units {
		s.left.reset()
		for to := begin + 1; to <= units; to++ {
			s.left.addAll(tokens[s.starts[to-1]:s.starts[to]])
			if cost := s.least[begin] + s.left.cost() + penalty; cost < s.least[to] {
				s.least[to], s.from[to] = cost, begin
			}
		}
	}
	n := len(s.ends)
	for to := units; to > 0; to = s.from[to] {
		n--
		s.ends[n] = s.starts[to]
	}
	return s.ends[n:]
}

// refine moves each border between two blocks to the best place near it.
func (s *splitter) refine(tokens []token, ends []int, reach int) {
	begin := 0
	for i := range len(ends) - 1 {
		ends[i] = begin + s.bestBorder(tokens[begin:ends[i+1]], ends[i]-begin, reach)
		begin = ends[i]
	}
}

// bestBorder returns where the border between two blocks should be, given where
// it is and how far to look, in tokens.
func (s *splitter) bestBorder(tokens []token, border, reach int) int {
	low, high := max(1, border-reach), min(len(tokens)-1, border+reach)
	s.left.reset()
	s.left.addAll(tokens[:low])
	s.right.reset()
	s.right.addAll(tokens[low:])
	best, least := border, ^uint32(0)
	for at := low; at <= high; at++ {
		if cost := s.left.cost() + s.right.cost(); cost < least {
			best, least = at, cost
		}
		s.left.add(tokens[at])
		s.right.remove(tokens[at])
	}
	return best
}

// estimate is about the size of a dynamic block, in the units of costs: the
// entropy of its symbols and an average header.
type estimate struct {
	histogram histogram
	symbols   uint32 // literals, lengths and the end of the block
	matches   uint32
	used      uint32 // different symbols
	extraBits uint32
	weighted  uint32 // the sum of f*log2(f) over the frequencies f
}

// Of a header, found by trying which ones make the best blocks.
const (
	headerCost = 140 * oneBit // without the lengths
	lengthCost = 3 * oneBit   // of the length of a symbol that is used
)

func (e *estimate) reset() {
	*e = estimate{symbols: 1, used: 1}
	e.histogram.begin()
}

func (e *estimate) addAll(tokens []token) {
	for _, t := range tokens {
		e.add(t)
	}
}

func (e *estimate) add(t token) {
	e.symbols++
	if !t.isMatch() {
		e.grow(&e.histogram.literal[t&0xff])
		return
	}
	length, symbol := t.length(), t.distanceSymbol()
	e.grow(&e.histogram.literal[length.symbol&511])
	e.grow(&e.histogram.distance[symbol])
	e.matches++
	e.extraBits += uint32(length.extraBits) + distanceExtraBits(symbol)
}

func (e *estimate) remove(t token) {
	e.symbols--
	if !t.isMatch() {
		e.shrink(&e.histogram.literal[t&0xff])
		return
	}
	length, symbol := t.length(), t.distanceSymbol()
	e.shrink(&e.histogram.literal[length.symbol&511])
	e.shrink(&e.histogram.distance[symbol])
	e.matches--
	e.extraBits -= uint32(length.extraBits) + distanceExtraBits(symbol)
}

func (e *estimate) grow(freq *uint32) {
	e.weighted += weightStep(*freq)
	if *freq == 0 {
		e.used++
	}
	*freq++
}

func (e *estimate) shrink(freq *uint32) {
	*freq--
	if *freq == 0 {
		e.used--
	}
	e.weighted -= weightStep(*freq)
}

func (e *estimate) cost() uint32 {
	cost := headerCost + e.used*lengthCost + e.extraBits<<costShift - e.weighted
	cost += e.symbols * log2(e.symbols)
	if e.matches > 0 {
		cost += e.matches * log2(e.matches)
	}
	return cost
}

// weightStep is by how much f*log2(f) grows when f does by one.
func weightStep(freq uint32) uint32 {
	if freq < uint32(len(weightSteps)) {
		return weightSteps[freq]
	}
	// About the derivative, log2(f) + 1/ln(2).
	return log2(freq) + 369
}

var weightSteps = func() (table [2048]uint32) {
	for freq := uint32(1); freq < uint32(len(table)); freq++ {
		table[freq] = (freq+1)*log2(freq+1) - freq*log2(freq)
	}
	return table
}()

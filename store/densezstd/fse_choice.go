package densezstd

// A block says for each of its three kinds of code where the FSE table comes
// from (RFC 8878, section 3.1.1.3.2.1).
const (
	modePredefined = 0
	modeRLE        = 1 // one symbol only, no table
	modeDescribed  = 2
	modeRepeat     = 3 // the table of the block before
)

// codeKind is what the format says of one kind of code.
type codeKind struct {
	maxLog       uint8
	distribution distribution // the predefined one
	table        encodingTable
}

func newCodeKind(maxLog, log uint8, states ...int16) *codeKind {
	k := &codeKind{maxLog: maxLog}
	k.distribution.log = log
	k.distribution.used = copy(k.distribution.states[:], states)
	k.table.build(&k.distribution)
	return k
}

// The predefined distributions of section 3.1.1.3.2.2.
var (
	litKind = newCodeKind(9, 6, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1,
		2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1)
	matchKind = newCodeKind(9, 6, 1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1)
	offsetKind = newCodeKind(8, 5, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1)
)

// tableChooser chooses the table of one kind of code, block after block.
type tableChooser struct {
	kind *codeKind
	// The table of the last block with one of its own is slots[current];
	// a block that may still be given up prepares the other.
	slots   [2]describedTable
	current int
	// repeatable tells whether slots[current] is the last block's.
	repeatable bool
	mode       uint8
}

type describedTable struct {
	distribution distribution
	table        encodingTable
}

// choose finds the cheapest table for codes with these counts, writes its
// description to out from pos, and returns where that ends.
func (c *tableChooser) choose(counts []uint32, total uint32, out []byte, pos int) int {
	if only, ok := onlySymbol(counts, total); ok {
		c.mode = modeRLE
		out[pos] = only
		return pos + 1
	}
	next := &c.slots[1-c.current].distribution
	next.normalize(counts, total, chooseLog(counts, total, c.kind.maxLog))
	end := next.appendDescription(out, pos)
	cost, _ := next.cost(counts)
	cost += uint64(end-pos) * byteCost
	c.mode = modeDescribed
	if other, ok := c.kind.distribution.cost(counts); ok && other <= cost {
		c.mode, cost, end = modePredefined, other, pos
	}
	if other, ok := c.slots[c.current].distribution.cost(counts); c.repeatable && ok && other <= cost {
		c.mode, end = modeRepeat, pos
	}
	if c.mode == modeDescribed {
		c.slots[1-c.current].table.build(next)
	}
	return end
}

// table returns the chosen table, or the one without any bits.
func (c *tableChooser) table() *encodingTable {
	switch c.mode {
	case modePredefined:
		return &c.kind.table
	case modeDescribed:
		return &c.slots[1-c.current].table
	case modeRepeat:
		return &c.slots[c.current].table
	default:
		return &silentTable
	}
}

// silentTable has one state, which every symbol keeps.
var silentTable encodingTable

// commit makes the chosen table the one that the next block may repeat.
func (c *tableChooser) commit() {
	if c.mode == modeDescribed {
		c.current = 1 - c.current
	}
	// The other modes could be repeated too, but save nothing worth it.
	c.repeatable = c.mode == modeDescribed || c.mode == modeRepeat
}

func onlySymbol(counts []uint32, total uint32) (uint8, bool) {
	for symbol, n := range counts {
		if n > 0 {
			return uint8(symbol), n == total
		}
	}
	return 0, false
}

// chooseLog returns a table size for total codes: larger ones fit closer,
// and cost more to describe.
func chooseLog(counts []uint32, total uint32, maxLog uint8) uint8 {
	distinct := 0
	for _, n := range counts {
		if n > 0 {
			distinct++
		}
	}
	log := bitLen(total) - 2
	return min(max(log, bitLen(uint32(distinct))+1, minTableLog), maxLog)
}

package deflate

// Levels, from the fastest to the densest. 0 means DefaultLevel.
const (
	MinLevel     = 1
	DefaultLevel = 5
	MaxLevel     = 9
)

// params is what a level does.
type params struct {
	parser parser

	// depth is how many earlier positions are compared at most to find the
	// match of one.
	depth int
	// enough is a match length in bytes with which the search ends.
	enough int

	// iterations of the optimal parser over each block.
	iterations int
	// splitBytes is the grid on which the optimal parser looks for borders
	// between blocks, or 0 for none.
	splitBytes int
	// splitPenalty is what a block must save, in the units of costs, to be
	// worth the time that it takes a decoder.
	splitPenalty uint32

	// manyLimits makes several limits of code lengths be tried.
	manyLimits bool
	// smooth makes codes be tried that have shorter headers.
	smooth bool
}

type parser uint8

const (
	parserFast parser = iota
	parserGreedy
	parserLazy
	parserOptimal
)

// The figures were found by trying, on 16 MiB sampled evenly from the memory of
// a guest, in frames of 16 KiB and of 4 KiB.
var levels = [MaxLevel + 1]params{
	1: {parser: parserFast},
	2: {parser: parserGreedy, depth: 3, enough: 32},
	3: {parser: parserLazy, depth: 4, enough: 32},
	4: {parser: parserLazy, depth: 8, enough: 32},
	5: {parser: parserLazy, depth: 16, enough: 64},
	6: {parser: parserOptimal, depth: 12, enough: 64, iterations: 1},
	7: {parser: parserOptimal, depth: 32, enough: 64, iterations: 2, manyLimits: true},
	8: {
		parser: parserOptimal, depth: 100, enough: 64, iterations: 2,
		splitBytes: 1024, splitPenalty: 160 * oneBit, manyLimits: true, smooth: true,
	},
	9: {
		parser: parserOptimal, depth: 400, enough: 128, iterations: 3,
		splitBytes: 256, splitPenalty: 64 * oneBit, manyLimits: true, smooth: true,
	},
}

// paramsOf returns what a level does. One outside the range is as its nearest
// neighbor.
func paramsOf(level int) *params {
	if level == 0 {
		level = DefaultLevel
	}
	return &levels[min(max(level, MinLevel), MaxLevel)]
}

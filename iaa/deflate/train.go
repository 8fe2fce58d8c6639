package deflate

import (
	"context"
	"fmt"
	"slices"

	"sabrefs/iaa/huffman"
)

const (
	// sharedBits is what shared codes are limited to. They have one for every
	// symbol, and most of those are rare: with fewer bits the others would pay
	// for them, 0.3 % with rootBits.
	sharedBits = 13

	// maxSamples bounds the memory and the time of training. Of more samples,
	// as many are taken, evenly.
	maxSamples = 8192

	// trainRounds is how often samples are assigned to codes and codes made
	// anew. What further rounds gain is below a thousandth.
	trainRounds = 10
)

// Train returns at most maxTables pairs of codes for frames like the samples,
// the most used first. Each has a code for every symbol that a frame can need,
// so that any frame can use any of them. It clusters the samples by how many
// bits they take in the codes, as k-means does by distance. The same samples give
// the same codes; there are none without samples that can be compressed. The
// error is that of the context.
func Train(ctx context.Context, samples [][]byte, level, maxTables int) ([]huffman.Lengths, error) {
	if maxTables < 1 {
		return nil, nil
	}
	var t trainer
	if err := t.count(ctx, samples, level); err != nil {
		return nil, err
	}
	if len(t.samples) == 0 {
		return nil, nil
	}
	t.tables = []huffman.Lengths{t.lengthsOf(t.sum(0))}
	for {
		if err := t.cluster(ctx); err != nil {
			return nil, err
		}
		if !t.split(maxTables) {
			return t.inOrderOfUse(), nil
		}
	}
}

// trainer is a clustering under way.
type trainer struct {
	samples  []sample
	tables   []huffman.Lengths
	builder  huffman.Builder
	ownCodes huffman.Lengths
}

// sample is a frame.
type sample struct {
	histogram histogram
	ownBits   int // in codes of its own
	bits      int // in those of its table
	table     int
}

// loss is how much more a sample takes in the codes of its table than in its
// own, in thousandths.
func (s *sample) loss() int { return 1000 * (s.bits - s.ownBits) / s.ownBits }

// count counts the symbols of the samples. Those that cannot be compressed are
// left out: they will be stored anyway.
func (t *trainer) count(ctx context.Context, frames [][]byte, level int) error {
	e := NewEncoder()
	params := paramsOf(level)
	count := min(len(frames), maxSamples)
	t.samples = make([]sample, 0, count)
	for i := range count {
		if err := checkTraining(ctx); err != nil {
			return err
		}
		frame := frames[i*len(frames)/count]
		frame = frame[:min(len(frame), frameBytes)]
		e.sizeBits = 0
		e.load(frame, false, params)
		e.parse(params)
		if e.sizeBits >= 8*len(frame) {
			continue
		}
		h := e.total
		h.literal[huffman.EndOfBlock] = 1
		t.builder.Build(t.ownCodes.Literal[:], h.literal[:huffman.LiteralSymbols], sharedBits)
		t.builder.Build(t.ownCodes.Distance[:], h.distance[:huffman.DistanceSymbols], sharedBits)
		t.samples = append(t.samples, sample{histogram: h, ownBits: h.codeBits(&t.ownCodes)})
	}
	return nil
}

// cluster assigns samples and makes codes anew until that changes nothing.
func (t *trainer) cluster(ctx context.Context) error {
	for range trainRounds {
		if err := checkTraining(ctx); err != nil {
			return err
		}
		if !t.assign() {
			return nil
		}
		for table := range t.tables {
			if sum := t.sum(table); sum.symbols() > 0 {
				t.tables[table] = t.lengthsOf(sum)
			}
		}
	}
	t.assign()
	return nil
}

func checkTraining(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("training shared codes: %w", err)
	}
	return nil
}

// assign gives each sample the table in which it is shortest, and reports
// whether that changed anything.
func (t *trainer) assign() (changed bool) {
	for i := range t.samples {
		s := &t.samples[i]
		old := s.bits
		s.bits = s.histogram.codeBits(&t.tables[s.table])
		changed = changed || s.bits != old
		for table := range t.tables {
			if bits := s.histogram.codeBits(&t.tables[table]); bits < s.bits {
				s.bits, s.table = bits, table
				changed = true
			}
		}
	}
	return changed
}

// sum adds up the samples of a table.
func (t *trainer) sum(table int) (sum histogram) {
	for i := range t.samples {
		if t.samples[i].table == table {
			sum.merge(&t.samples[i].histogram)
		}
	}
	return sum
}

// lengthsOf returns the best codes for a histogram to which every symbol that a
// frame can need was added once.
func (t *trainer) lengthsOf(h histogram) (lengths huffman.Lengths) {
	for symbol := range huffman.LiteralSymbols {
		h.literal[symbol]++
	}
	for symbol := range distanceSymbols {
		h.distance[symbol]++
	}
	t.builder.Build(lengths.Literal[:], h.literal[:huffman.LiteralSymbols], sharedBits)
	t.builder.Build(lengths.Distance[:], h.distance[:huffman.DistanceSymbols], sharedBits)
	return lengths
}

// split doubles the tables, as far as maxTables allows: those samples of a table
// that lose more in it than the mean get one of their own. It reports whether
// there is a new table.
func (t *trainer) split(maxTables int) bool {
	old := len(t.tables)
	for table := 0; table < old && len(t.tables) < maxTables; table++ {
		created := len(t.tables)
		mean := t.meanLoss(table)
		for i := range t.samples {
			if s := &t.samples[i]; s.table == table && s.loss() > mean {
				s.table = created
			}
		}
		if sum := t.sum(created); sum.symbols() > 0 {
			t.tables = append(t.tables, t.lengthsOf(sum))
		}
	}
	return len(t.tables) > old
}

// meanLoss is the mean loss of a table's samples.
func (t *trainer) meanLoss(table int) int {
	sum, count := 0, 0
	for i := range t.samples {
		if s := &t.samples[i]; s.table == table {
			sum += s.loss()
			count++
		}
	}
	return sum / max(count, 1)
}

// inOrderOfUse returns the tables, the one with the most samples first. Tables
// without samples are left out.
func (t *trainer) inOrderOfUse() []huffman.Lengths {
	uses := make([]int, len(t.tables))
	for i := range t.samples {
		uses[t.samples[i].table]++
	}
	order := make([]int, 0, len(t.tables))
	for table, n := range uses {
		if n > 0 {
			order = append(order, table)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return uses[b] - uses[a] })
	tables := make([]huffman.Lengths, len(order))
	for i, table := range order {
		tables[i] = t.tables[table]
	}
	return tables
}

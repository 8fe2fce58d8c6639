package prefetch

// Comparison says how alike two working sets are.
type Comparison struct {
	Common int // pages in both
	OnlyA  int
	OnlyB  int
	// OrderCorrelation is Spearman's rank correlation of the orders in which
	// the two have the common pages: 1 for the same order, 0 for unrelated
	// ones, -1 for the reverse. Of fewer than two pages it is 1.
	OrderCorrelation float64
}

// Jaccard is the number of common pages as a part of those in either: 1 for
// equal sets, two empty ones included, 0 for sets with nothing in common.
func (c Comparison) Jaccard() float64 {
	union := c.Common + c.OnlyA + c.OnlyB
	if union == 0 {
		return 1
	}
	return float64(c.Common) / float64(union)
}

// Compare compares the pages of two traces of the same content (else
// ErrOtherImage).
func Compare(a, b *Trace) (Comparison, error) {
	if err := a.CheckSame(b); err != nil {
		return Comparison{}, err
	}
	ranks := commonRanks(a, b)
	common := len(ranks)
	return Comparison{
		Common: common, OnlyA: len(a.Touches) - common, OnlyB: len(b.Touches) - common,
		OrderCorrelation: spearman(ranks),
	}, nil
}

// commonRanks returns, for the pages that both traces have, in the order of a,
// which place each has in the order of b.
func commonRanks(a, b *Trace) []int {
	inA := newPageSet(len(a.Touches))
	for _, touch := range a.Touches {
		inA.add(touch.Page)
	}
	rankInB := make(map[uint32]int)
	for _, touch := range b.Touches {
		if inA.has(touch.Page) {
			rankInB[touch.Page] = len(rankInB)
		}
	}
	ranks := make([]int, 0, len(rankInB))
	for _, touch := range a.Touches {
		if rank, ok := rankInB[touch.Page]; ok {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// spearman returns the rank correlation of a permutation with the identity. The
// squares are summed as floats: of 2^24 pages they go beyond 64 bits.
func spearman(ranks []int) float64 {
	n := float64(len(ranks))
	if n < 2 {
		return 1
	}
	var squares float64
	for i, rank := range ranks {
		d := float64(i - rank)
		squares += d * d
	}
	return 1 - 6*squares/(n*(n*n-1))
}

package prefetch

import (
	"math"
	"testing"

	"sabrefs/tests/seedtest"
)

func TestCompare(t *testing.T) {
	tests := map[string]struct {
		a, b    *Trace
		want    Comparison
		jaccard float64
	}{
		"equal":    {run(0, 1, 1, 2, 2, 3), run(0, 5, 1, 5, 2, 5), Comparison{3, 0, 0, 1}, 1},
		"reversed": {run(0, 1, 1, 2, 2, 3), run(2, 1, 1, 2, 0, 3), Comparison{3, 0, 0, -1}, 1},
		"partly":   {run(0, 1, 1, 2, 2, 3), run(3, 1, 1, 2), Comparison{1, 2, 1, 1}, 0.25},
		"disjoint": {run(0, 1), run(1, 1, 2, 2), Comparison{0, 1, 2, 1}, 0},
		"one":      {run(), run(1, 1), Comparison{0, 0, 1, 1}, 0},
		"empty":    {run(), run(), Comparison{0, 0, 0, 1}, 1},
		// d is 1, 1, 0, 0: 1 - 6*2/(4*15)
		"swapped": {run(0, 1, 1, 2, 2, 3, 3, 4), run(1, 1, 0, 2, 4, 2, 2, 3, 3, 4), Comparison{4, 0, 1, 0.8}, 0.8},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Compare(c.a, c.b)
			wantNoError(t, err)
			wantEqual(t, "comparison", got, c.want)
			wantEqual(t, "Jaccard index", got.Jaccard(), c.jaccard)
		})
	}
}

func TestCompareRandom(t *testing.T) {
	r := seedtest.Rand(t)
	for range 200 {
		a, b := randomTrace(r, 80), randomTrace(r, 80)
		ab, err := Compare(a, b)
		wantNoError(t, err)
		ba, err := Compare(b, a)
		wantNoError(t, err)
		wantEqual(t, "common", ab.Common, ba.Common)
		wantEqual(t, "only in a", ab.OnlyA, ba.OnlyB)
		wantEqual(t, "pages of b", ab.Common+ab.OnlyB, len(b.Touches))
		if math.Abs(ab.OrderCorrelation-ba.OrderCorrelation) > 1e-9 || math.Abs(ab.OrderCorrelation) > 1 {
			t.Fatalf("order correlation is %v one way and %v the other", ab.OrderCorrelation, ba.OrderCorrelation)
		}
	}
}

func TestCompareOtherContent(t *testing.T) {
	other := run(0, 1)
	other.Image.Digest[5]++
	_, err := Compare(run(0, 1), other)
	wantClass(t, err, ErrOtherImage)
}

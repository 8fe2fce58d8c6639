package prefetch

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

// run is a recording of one run: pages and times in turn.
func run(pagesAndTimes ...uint32) *Trace {
	t := smallTrace()
	t.Runs, t.Touches = 1, nil
	for i := 0; i < len(pagesAndTimes); i += 2 {
		t.Touches = append(t.Touches, Touch{pagesAndTimes[i], pagesAndTimes[i+1], 1})
	}
	return t
}

func TestMerge(t *testing.T) {
	traces := []*Trace{run(0, 10, 1, 20, 2, 30), run(1, 5, 0, 40), run(3, 1, 1, 50, 0, 60)}
	for minRuns, want := range map[int][]Touch{
		AnyRun:  {{3, 1, 1}, {1, 20, 3}, {2, 30, 1}, {0, 40, 3}},
		2:       {{1, 20, 3}, {0, 40, 3}},
		AllRuns: {{1, 20, 3}, {0, 40, 3}},
	} {
		merged, err := Merge(traces, minRuns)
		wantNoError(t, err)
		wantEqual(t, "runs", merged.Runs, 3)
		if !slices.Equal(merged.Touches, want) {
			t.Errorf("merged by %d: %v, want %v", minRuns, merged.Touches, want)
		}
	}
}

// TestMergeCountsRuns: a merged trace has the weight of its runs, for what is
// kept and for when it is touched.
func TestMergeCountsRuns(t *testing.T) {
	three := run(0, 100, 1, 200)
	three.Runs, three.Touches[0].Runs = 3, 3
	merged, err := Merge([]*Trace{three, run(0, 1, 1, 2, 2, 3)}, AnyRun)
	wantNoError(t, err)
	wantEqual(t, "runs", merged.Runs, 4)
	if want := []Touch{{1, 2, 2}, {2, 3, 1}, {0, 100, 4}}; !slices.Equal(merged.Touches, want) {
		t.Errorf("merged: %v, want %v", merged.Touches, want)
	}
}

func TestMergeNamesTheNewest(t *testing.T) {
	older, newer := run(0, 1), run(1, 1)
	newer.CreatedAt, newer.Image.UUID = older.CreatedAt.Add(time.Second), uuid.New()
	for _, traces := range [][]*Trace{{older, newer}, {newer, older}} {
		merged, err := Merge(traces, AnyRun)
		wantNoError(t, err)
		wantEqual(t, "identity", merged.Image, newer.Image)
		wantEqual(t, "time", merged.CreatedAt, newer.CreatedAt)
	}
}

func TestMergeRefuses(t *testing.T) {
	otherDigest, otherSize, many := run(0, 1), run(0, 1), run(0, 1)
	otherDigest.Image.Digest[0]++
	otherSize.RawBytes++
	many.Runs = 1<<32 - 1
	tests := map[string]struct {
		traces  []*Trace
		minRuns int
		class   error
	}{
		"nothing":       {nil, AnyRun, store.ErrOption},
		"other content": {[]*Trace{run(0, 1), otherDigest}, AnyRun, ErrOtherImage},
		"other size":    {[]*Trace{run(0, 1), run(1, 1), otherSize}, AnyRun, ErrOtherImage},
		"no runs":       {[]*Trace{run(0, 1)}, 0, store.ErrOption},
		"negative runs": {[]*Trace{run(0, 1)}, -2, store.ErrOption},
		"too many runs": {[]*Trace{run(0, 1), run(0, 1)}, 3, store.ErrOption},
		"overflow":      {[]*Trace{many, run(0, 1), run(0, 1)}, AnyRun, store.ErrOption},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Merge(c.traces, c.minRuns)
			wantClass(t, err, c.class)
		})
	}
}

// TestMergeProperties merges random traces and compares with what was counted in
// another way.
func TestMergeProperties(t *testing.T) {
	r := seedtest.Rand(t)
	for range 300 {
		pageCount := 1 + r.IntN(60)
		var traces []*Trace
		for range 1 + r.IntN(5) {
			traces = append(traces, randomTrace(r, pageCount))
		}
		times, runs := count(traces)
		minRuns := 1 + r.IntN(int(runs))
		merged, err := Merge(traces, minRuns)
		wantNoError(t, err)
		wantMerged(t, merged, times, minRuns)
		wantEqual(t, "runs", merged.Runs, runs)
		wantSameMerge(t, r, traces, minRuns, merged)
		wantStepwise(t, traces, minRuns, merged)
	}
}

// count returns, for each page, the times of all runs that have seen it, sorted.
func count(traces []*Trace) (times map[uint32][]uint32, runs uint32) {
	times = map[uint32][]uint32{}
	for _, trace := range traces {
		runs += trace.Runs
		for _, touch := range trace.Touches {
			for range touch.Runs {
				times[touch.Page] = append(times[touch.Page], touch.AtMicros)
			}
		}
	}
	for _, seen := range times {
		slices.Sort(seen)
	}
	return times, runs
}

func wantMerged(t *testing.T, merged *Trace, times map[uint32][]uint32, minRuns int) {
	t.Helper()
	wantSound(t, merged)
	kept := map[uint32]bool{}
	for i, touch := range merged.Touches {
		seen := times[touch.Page]
		wantEqual(t, "runs of a page", int(touch.Runs), len(seen))
		wantEqual(t, "time of a page", touch.AtMicros, seen[(len(seen)-1)/2])
		if before := merged.Touches[max(i-1, 0)]; before.AtMicros == touch.AtMicros && before.Page > touch.Page {
			t.Fatalf("page %d comes after page %d, at the same time", touch.Page, before.Page)
		}
		kept[touch.Page] = true
	}
	for page, seen := range times {
		wantEqual(t, "kept", kept[page], len(seen) >= minRuns)
	}
}

// wantSameMerge merges in another order.
func wantSameMerge(t *testing.T, r *rand.Rand, traces []*Trace, minRuns int, merged *Trace) {
	t.Helper()
	shuffled := slices.Clone(traces)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	again, err := Merge(shuffled, minRuns)
	wantNoError(t, err)
	if !reflect.DeepEqual(again, merged) {
		t.Fatalf("in another order: %+v, want %+v", again, merged)
	}
}

// wantStepwise merges the first ones first: the pages and counts are the same.
func wantStepwise(t *testing.T, traces []*Trace, minRuns int, merged *Trace) {
	t.Helper()
	half := (len(traces) + 1) / 2
	first, err := Merge(traces[:half], AnyRun)
	wantNoError(t, err)
	again, err := Merge(append([]*Trace{first}, traces[half:]...), minRuns)
	wantNoError(t, err)
	wantEqual(t, "runs", again.Runs, merged.Runs)
	if got, want := runsByPage(again), runsByPage(merged); !reflect.DeepEqual(got, want) {
		t.Fatalf("in two steps: %v, want %v", got, want)
	}
}

func runsByPage(t *Trace) map[uint32]uint32 {
	runs := map[uint32]uint32{}
	for _, touch := range t.Touches {
		runs[touch.Page] = touch.Runs
	}
	return runs
}

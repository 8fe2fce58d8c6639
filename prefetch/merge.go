package prefetch

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"sabrefs/store"
)

// Values of Merge's minRuns.
const (
	// AnyRun keeps every page that was seen: the union.
	AnyRun = 1
	// AllRuns keeps the pages that were seen in every run: the intersection.
	AllRuns = -1
)

// Merge makes one trace of several recordings of the same content (else
// ErrOtherImage). It holds the pages that were seen in at least minRuns runs. A
// trace that was itself merged counts with all the runs that it is made of, so
// that merging may be done in steps: the pages are the same as in one step, if
// the earlier steps were unions.
//
// The time of a page is the lower median of its times in the runs that saw it;
// one that was merged before counts once for each of its runs. The median keeps
// one run that was slow, or that touched a page early for another reason, from
// moving the page. Pages are in the order of these times, and of their numbers
// where the times are equal. The order of the traces makes no difference.
func Merge(traces []*Trace, minRuns int) (*Trace, error) {
	if len(traces) == 0 {
		return nil, fmt.Errorf("%w: no traces to merge", store.ErrOption)
	}
	merged, err := mergedHeader(traces)
	if err != nil {
		return nil, err
	}
	needed, err := neededRuns(minRuns, merged.Runs)
	if err != nil {
		return nil, err
	}
	merged.Touches = mergedTouches(observe(traces), needed)
	if err := merged.validate(); err != nil {
		return nil, fmt.Errorf("merged: %w", err) // too many pages, or a trace was not sound
	}
	return merged, nil
}

// mergedHeader returns the merged trace without its touches.
func mergedHeader(traces []*Trace) (*Trace, error) {
	newest := slices.MaxFunc(traces, func(a, b *Trace) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), slices.Compare(a.Image.UUID[:], b.Image.UUID[:]))
	})
	var runs uint64
	for _, t := range traces {
		if err := traces[0].CheckSame(t); err != nil {
			return nil, err
		}
		runs += uint64(t.Runs)
	}
	if runs > math.MaxUint32 {
		return nil, fmt.Errorf("%w: %d runs, a trace counts up to %d", store.ErrOption, runs, uint32(math.MaxUint32))
	}
	return &Trace{Image: newest.Image, RawBytes: newest.RawBytes, CreatedAt: newest.CreatedAt, Runs: uint32(runs)}, nil
}

func neededRuns(minRuns int, runs uint32) (uint32, error) {
	switch {
	case minRuns == AllRuns:
		return runs, nil
	case minRuns < 1 || int64(minRuns) > int64(runs):
		return 0, fmt.Errorf("%w: pages seen in at least %d runs, of %d that there are", store.ErrOption, minRuns, runs)
	}
	return uint32(minRuns), nil
}

// observe returns the touches of all traces, by page and time.
func observe(traces []*Trace) []Touch {
	var all []Touch
	for _, t := range traces {
		all = append(all, t.Touches...)
	}
	slices.SortFunc(all, func(a, b Touch) int {
		return cmp.Or(cmp.Compare(a.Page, b.Page), cmp.Compare(a.AtMicros, b.AtMicros))
	})
	return all
}

// mergedTouches joins the touches of each page and keeps the pages that were seen
// often enough.
func mergedTouches(all []Touch, needed uint32) []Touch {
	var touches []Touch
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Page == all[0].Page {
			n++
		}
		if touch := join(all[:n]); touch.Runs >= needed {
			touches = append(touches, touch)
		}
		all = all[n:]
	}
	slices.SortFunc(touches, func(a, b Touch) int {
		return cmp.Or(cmp.Compare(a.AtMicros, b.AtMicros), cmp.Compare(a.Page, b.Page))
	})
	return touches
}

// join makes one touch of those of one page, which are in the order of time.
func join(seen []Touch) Touch {
	joined := Touch{Page: seen[0].Page}
	for _, touch := range seen {
		joined.Runs += touch.Runs // of different traces: no more than all have together
	}
	var upToHere uint64
	for _, touch := range seen {
		joined.AtMicros = touch.AtMicros
		if upToHere += uint64(touch.Runs); 2*upToHere >= uint64(joined.Runs) {
			break
		}
	}
	return joined
}

package prefetch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

// guestMemory makes memory with zero pages, equal pages and pages that compress.
func guestMemory(r *rand.Rand, lenBytes int) []byte {
	raw := make([]byte, lenBytes)
	for off := 0; off < lenBytes; off += store.PageBytes {
		page := raw[off:min(off+store.PageBytes, lenBytes)]
		switch kind := r.IntN(100); {
		case kind < 10:
			off += r.IntN(12) * store.PageBytes
		case kind < 25 && off > 0:
			copy(page, raw[r.IntN(off/store.PageBytes)*store.PageBytes:])
		default:
			for i := 0; i+8 <= len(page); i += 8 {
				binary.LittleEndian.PutUint64(page[i:], uint64(off)<<16|uint64(r.IntN(64)))
			}
		}
	}
	return raw
}

// packed packs memory and opens the image.
func packed(tb testing.TB, raw []byte, options store.PackOptions) *store.Image {
	tb.Helper()
	dir := tb.TempDir()
	source, target := filepath.Join(dir, "raw"), filepath.Join(dir, "image.sabre")
	wantNoError(tb, os.WriteFile(source, raw, 0o600))
	_, err := store.PackFile(tb.Context(), source, target, options)
	wantNoError(tb, err)
	img, err := store.Open(target, store.OpenOptions{})
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, img.Close()) })
	return img
}

// memorySink is a page cache that can be looked into.
type memorySink struct {
	fail func(call int) error // nil never fails

	mu     sync.Mutex
	pages  map[int64][]byte // by number
	calls  int
	pushed int64 // bytes
}

func (s *memorySink) Store(rawOff int64, raw []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return err
		}
	}
	if s.pages == nil {
		s.pages = make(map[int64][]byte)
	}
	s.pushed += int64(len(raw))
	for i := int64(0); i < int64(len(raw)); i += store.PageBytes {
		s.pages[(rawOff+i)/store.PageBytes] = bytes.Clone(raw[i:min(i+store.PageBytes, int64(len(raw)))])
	}
	return nil
}

// check fails unless all pushed pages are right and all of the wanted ones there.
func (s *memorySink) check(tb testing.TB, raw []byte, wanted []uint32) {
	tb.Helper()
	for page, got := range s.pages {
		want := raw[page*store.PageBytes : min(int64(len(raw)), (page+1)*store.PageBytes)]
		if !bytes.Equal(got, want) {
			tb.Fatalf("page %d was pushed with other bytes, or %d of %d", page, len(got), len(want))
		}
	}
	for _, page := range wanted {
		if s.pages[int64(page)] == nil {
			tb.Fatalf("page %d was not pushed", page)
		}
	}
}

// newRun returns a run to the sink, and the errors that it reports.
func newRun(tb testing.TB, img *store.Image, sink Sink, pages []uint32) (*Run, *reported) {
	tb.Helper()
	cache, err := store.NewFrameCache(0)
	wantNoError(tb, err)
	errs := &reported{}
	header := img.Header()
	return New(Config{
		Image: img, Cache: cache, Sink: sink, Pages: pages, Gate: &Gate{}, Budget: NewBudget(math.MaxInt64),
		Tracker: NewTracker(header.PageCount()), Report: errs.add,
	}), errs
}

type reported struct {
	mu   sync.Mutex
	errs []error
}

func (r *reported) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// touched draws a working set: clusters of pages, in no order of address.
func touched(r *rand.Rand, pageCount int) []uint32 {
	var pages []uint32
	seen := make(map[uint32]bool)
	for range 1 + r.IntN(pageCount/4) {
		first := r.IntN(pageCount)
		for page := first; page < min(pageCount, first+1+r.IntN(8)); page++ {
			if r.IntN(4) > 0 && !seen[uint32(page)] {
				seen[uint32(page)] = true
				pages = append(pages, uint32(page))
			}
		}
	}
	return pages
}

// TestRunPushesTheWorkingSet, with right bytes, each frame once, whatever the image
// is made of.
func TestRunPushesTheWorkingSet(t *testing.T) {
	r := seedtest.Rand(t)
	for _, codec := range []store.Codec{store.CodecLZ4, store.CodecDeflate, store.CodecZstd} {
		for _, framePages := range []int{1, 8, 64} {
			raw := guestMemory(r, 8<<20+r.IntN(store.PageBytes))
			img := packed(t, raw, store.PackOptions{Codec: codec, FramePages: framePages, Level: store.LevelFast})
			header := img.Header()
			pages := touched(r, int(header.PageCount()))
			sink := &memorySink{}
			run, errs := newRun(t, img, sink, pages)
			run.Do(t.Context())
			sink.check(t, raw, pages)
			counts, pageCounts := run.Counts(), run.config.Tracker.Counts()
			what := fmt.Sprintf("%v, frames of %d pages", codec, framePages)
			wantEqual(t, what+": errors", len(errs.errs), 0)
			wantEqual(t, what+": state", counts.State, "done")
			wantEqual(t, what+": frames", counts.Frames, framesOf(t, img, pages))
			wantEqual(t, what+": planned", pageCounts.Planned, int64(len(pages)))
			wantEqual(t, what+": used", pageCounts.Used, int64(len(pages)))
			wantEqual(t, what+": pushed", pageCounts.Pushed, int64(len(sink.pages)))
			wantEqual(t, what+": calls", counts.PushCalls, int64(sink.calls))
			wantEqual(t, what+": bytes", counts.PushedBytes, sink.pushed)
			wantEqual(t, what+": bytes of the budget", run.TakenBytes(), sink.pushed)
		}
	}
}

// framesOf counts the frames that hold the pages.
func framesOf(tb testing.TB, img *store.Image, pages []uint32) int64 {
	tb.Helper()
	frames := make(map[uint32]bool)
	for _, page := range pages {
		var ref [1]store.PageRef
		wantNoError(tb, img.Pages(int64(page), ref[:]))
		if ref[0].Kind == store.PageInFrame {
			frames[ref[0].Frame] = true
		}
	}
	return int64(len(frames))
}

// TestRunMergesNeighbors: pages that lie together go by one call, over a small gap
// too if its bytes are at hand, and not over a large one.
func TestRunMergesNeighbors(t *testing.T) {
	raw := make([]byte, 64*store.PageBytes)
	for page := range 64 {
		if page < 40 || page >= 44 { // the others are zero
			binary.LittleEndian.PutUint32(raw[page*store.PageBytes:], uint32(page+1))
		}
	}
	img := packed(t, raw, store.PackOptions{Codec: store.CodecLZ4, FramePages: 16})
	for _, c := range []struct {
		pages []uint32
		calls int
		gap   int64
	}{
		{[]uint32{5, 4, 3}, 1, 0},
		{[]uint32{0, 5}, 1, 4},           // four pages of the same frame between
		{[]uint32{0, 6}, 2, 0},           // five
		{[]uint32{14, 15, 16, 17}, 1, 0}, // two frames
		{[]uint32{14, 17}, 1, 2},         // the gap is in both frames
		{[]uint32{31, 33}, 1, 1},         // the gap is in a frame that is decoded
		{[]uint32{15, 32}, 2, 0},         // a whole frame between
		{[]uint32{39, 44}, 1, 4},         // zeros are always at hand
		{[]uint32{41}, 1, 0},             // a page of zeros alone
		{[]uint32{43, 41, 42, 40}, 1, 0}, // nothing but zeros
		{[]uint32{63, 0, 62, 1}, 2, 0},   // first and last
	} {
		sink := &memorySink{}
		run, _ := newRun(t, img, sink, c.pages)
		run.Do(t.Context())
		sink.check(t, raw, c.pages)
		wantEqual(t, fmt.Sprintf("calls for %v", c.pages), sink.calls, c.calls)
		wantEqual(t, fmt.Sprintf("gap pages of %v", c.pages), run.config.Tracker.Counts().Gap, c.gap)
	}
}

// TestRunAll pushes the rest of the image too, and no zeros.
func TestRunAll(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 20<<20)
	img := packed(t, raw, store.PackOptions{Codec: store.CodecLZ4})
	pages := touched(r, 200)
	sink := &memorySink{}
	run, errs := newRun(t, img, sink, pages)
	run.config.All = true
	run.Do(t.Context())
	wantEqual(t, "errors", len(errs.errs), 0)
	var data []uint32
	for page := range uint32(len(raw) / store.PageBytes) {
		if !slices.Equal(raw[page*store.PageBytes:][:store.PageBytes], make([]byte, store.PageBytes)) {
			data = append(data, page)
		}
	}
	sink.check(t, raw, append(data, pages...))
	c := run.config.Tracker.Counts()
	wantEqual(t, "pushed", c.Pushed, int64(len(sink.pages)))
	wantEqual(t, "planned", c.Planned, int64(len(pages)))
	wantEqual(t, "used and gap and rest", c.Used+c.Gap+c.Rest, c.Pushed)
	wantEqual(t, "state", run.Counts().State, "done")
}

// TestRunEnds where it must: with its context, when the kernel forgets the file,
// when the budget is used up. Only other errors are reported.
func TestRunEnds(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 16<<20)
	img := packed(t, raw, store.PackOptions{Codec: store.CodecLZ4})
	var pages []uint32
	for page := range uint32(4096) {
		pages = append(pages, page)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		fail   func(call int) error
		budget int64
		state  string
		errs   int
	}{
		"gone":     {func(int) error { return ErrGone }, math.MaxInt64, "stopped", 0},
		"canceled": {func(call int) error { cancel(); return nil }, math.MaxInt64, "stopped", 0},
		"budget":   {nil, 1 << 20, "stopped", 0},
		"one fails": {func(call int) error {
			if call == 2 {
				return errors.New("no memory")
			}
			return nil
		}, math.MaxInt64, "done", 1},
	} {
		sink := &memorySink{fail: c.fail}
		run, errs := newRun(t, img, sink, pages)
		run.config.Budget = NewBudget(c.budget)
		runCtx := t.Context()
		if name == "canceled" {
			runCtx = ctx
		}
		run.Do(runCtx)
		sink.check(t, raw, nil)
		wantEqual(t, name+": state", run.Counts().State, c.state)
		wantEqual(t, name+": errors", len(errs.errs), c.errs)
		if sink.pushed > c.budget {
			t.Errorf("%s: %d bytes pushed, the budget is %d", name, sink.pushed, c.budget)
		}
		run.config.Budget.Return(run.TakenBytes())
		wantEqual(t, name+": budget", run.config.Budget.LeftBytes(), c.budget)
	}
}

// TestRunLeavesDamageToDemand: pages of a damaged frame are not pushed, all others
// are.
func TestRunLeavesDamageToDemand(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 4<<20)
	img := packed(t, raw, store.PackOptions{Codec: store.CodecLZ4, FramePages: 8})
	bad, err := img.Frame(5)
	wantNoError(t, err)
	f, err := os.OpenFile(img.Path(), os.O_WRONLY, 0)
	wantNoError(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, bad.PackedLen), bad.PackedOff)
	wantNoError(t, errors.Join(err, f.Close()))
	pages := make([]uint32, len(raw)/store.PageBytes)
	for i := range pages {
		pages[i] = uint32(i)
	}
	sink := &memorySink{}
	run, errs := newRun(t, img, sink, pages)
	run.Do(t.Context())
	var wanted []uint32
	for _, page := range pages {
		var ref [1]store.PageRef
		wantNoError(t, img.Pages(int64(page), ref[:]))
		damaged := ref[0].Kind == store.PageInFrame && ref[0].Frame == 5
		if !damaged {
			wanted = append(wanted, page)
		} else if sink.pages[int64(page)] != nil {
			t.Errorf("page %d of a damaged frame was pushed", page)
		}
	}
	sink.check(t, raw, wanted)
	if len(errs.errs) != 1 || !errors.Is(errs.errs[0], store.ErrCorrupt) {
		t.Errorf("reported %v", errs.errs)
	}
	wantEqual(t, "bad frames", run.Counts().BadFrames, 1)
	wantEqual(t, "state", run.Counts().State, "done")
}

// TestSortByPage against the sort of the library.
func TestSortByPage(t *testing.T) {
	r := seedtest.Rand(t)
	for _, pageCount := range []int64{1, 2, 1000, 1 << 17, 1 << 30} {
		var order []uint64
		for i := range 1 + r.IntN(5000) {
			order = append(order, uint64(r.Int64N(pageCount))<<32|uint64(i))
		}
		want := slices.Sorted(slices.Values(order))
		if got := sortByPage(slices.Clone(order)); !slices.Equal(got, want) {
			t.Errorf("%d of %d pages are not sorted", len(order), pageCount)
		}
	}
}

// TestTracker tells late pages from evicted ones.
func TestTracker(t *testing.T) {
	tr := NewTracker(100)
	for page := range int64(10) {
		tr.plan(page)
	}
	tr.Demand(0, 2)   // late
	tr.push(0, 12)    // two of them gaps
	tr.Demand(3, 1)   // evicted
	tr.Demand(3, 1)   // counts once
	tr.Demand(50, 10) // nobody planned them
	tr.pushRest(60, 5)
	wantEqual(t, "counts", tr.Counts(), PageCounts{
		Planned: 10, Pushed: 17, Used: 9, Late: 2, Evicted: 1, Gap: 2, Rest: 5, Wasted: 3,
	})
}

// TestBudgetIsNeverExceeded by many who take at once.
func TestBudgetIsNeverExceeded(t *testing.T) {
	b := NewBudget(1000)
	var group sync.WaitGroup
	var mu sync.Mutex
	taken := int64(0)
	for range 50 {
		group.Go(func() {
			for range 10 {
				if b.take(7) {
					mu.Lock()
					taken += 7
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	wantEqual(t, "left", b.LeftBytes(), 1000-taken)
	if taken > 1000 || taken < 900 { // some may have been refused while others gave back
		t.Errorf("%d of 1000 taken", taken)
	}
}

// BenchmarkRun is everything but the kernel: a working set of 40 MB in runs.
func BenchmarkRun(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	raw := guestMemory(r, 64<<20)
	for _, codec := range []store.Codec{store.CodecLZ4, store.CodecDeflate} {
		img := packed(b, raw, store.PackOptions{Codec: codec, Level: store.LevelFast})
		pages := touched(r, len(raw)/store.PageBytes)
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(int64(len(pages)) * store.PageBytes)
			for b.Loop() {
				run, _ := newRun(b, img, discard{}, pages)
				run.Do(b.Context())
			}
		})
	}
}

// discard takes pages and does nothing.
type discard struct{}

func (discard) Store(int64, []byte) error { return nil }

package prefetch

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

// changed returns memory in which about one page of n is another one: new, zero, or
// moved from elsewhere.
func changed(r *rand.Rand, raw []byte, n int) []byte {
	later := slices.Clone(raw)
	for off := 0; off < len(later); off += store.PageBytes {
		page := later[off:min(off+store.PageBytes, len(later))]
		if r.IntN(n) > 0 {
			continue
		}
		switch kind := r.IntN(10); {
		case kind < 1:
			clear(page)
		case kind < 3:
			copy(page, raw[r.IntN(len(raw)/store.PageBytes)*store.PageBytes:])
		default:
			binary.LittleEndian.PutUint64(page[r.IntN(len(page)/8)*8:], r.Uint64())
		}
	}
	return later
}

// packedChild packs memory against the image at parent and returns the path.
func packedChild(tb testing.TB, raw []byte, parent string, options store.PackOptions) string {
	tb.Helper()
	dir := tb.TempDir()
	source, target := filepath.Join(dir, "raw"), filepath.Join(dir, "child.sabre")
	wantNoError(tb, os.WriteFile(source, raw, 0o600))
	options.Parent = parent
	_, err := store.PackFile(tb.Context(), source, target, options)
	wantNoError(tb, err)
	return target
}

func opened(tb testing.TB, path string) *store.Image {
	tb.Helper()
	img, err := store.Open(path, store.OpenOptions{})
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, img.Close()) })
	return img
}

// chain packs memory that changes from layer to layer. It returns the paths, root
// first, and the memory of the last.
func chain(tb testing.TB, r *rand.Rand, depth int, options store.PackOptions) (paths []string, raw []byte) {
	tb.Helper()
	raw = guestMemory(r, 2<<20+r.IntN(store.PageBytes))
	paths = []string{packed(tb, raw, options).Path()}
	for range depth {
		raw = changed(r, raw, 8)
		paths = append(paths, packedChild(tb, raw, paths[len(paths)-1], options))
	}
	return paths, raw
}

// wantAllPushed runs prefetch of pages and checks that all of them are pushed, with
// right bytes, each frame decoded once.
func wantAllPushed(tb testing.TB, what string, img *store.Image, raw []byte, pages []uint32) {
	tb.Helper()
	sink := &memorySink{}
	run, errs := newRun(tb, img, sink, pages)
	run.Do(tb.Context())
	sink.check(tb, raw, pages)
	counts := run.Counts()
	wantEqual(tb, what+": errors", len(errs.errs), 0)
	wantEqual(tb, what+": state", counts.State, "done")
	wantEqual(tb, what+": frames", counts.Frames, framesOf(tb, img, pages))
	wantEqual(tb, what+": used", run.config.Tracker.Counts().Used, int64(len(pages)))
}

// TestRunPushesAllLayers: the working set of a child lies in its own file and in those
// of its ancestors; also when an ancestor has been packed anew since.
func TestRunPushesAllLayers(t *testing.T) {
	r := seedtest.Rand(t)
	for _, depth := range []int{1, 5} {
		for _, codec := range []store.Codec{store.CodecLZ4, store.CodecDeflate} {
			options := store.PackOptions{Codec: codec, FramePages: 4, Level: store.LevelFast}
			paths, raw := chain(t, r, depth, options)
			img := opened(t, paths[depth])
			pages := touchedInAllLayers(t, r, img)
			what := fmt.Sprintf("depth %d, %v", depth, codec)
			wantAllPushed(t, what, img, raw, pages)
			options.FramePages = 16
			_, err := store.RepackFile(t.Context(), paths[r.IntN(depth)], options)
			wantNoError(t, err)
			stale := opened(t, paths[depth])
			wantEqual(t, what+": stale", stale.IsStale(), true)
			wantAllPushed(t, what+", stale", stale, raw, pages)
		}
	}
}

// touchedInAllLayers draws a working set of which each layer of the image has a part.
func touchedInAllLayers(tb testing.TB, r *rand.Rand, img *store.Image) []uint32 {
	tb.Helper()
	header := img.Header()
	const tries = 1000
	for range tries {
		pages := touched(r, int(header.PageCount()))
		if len(layersOf(tb, img, pages)) == len(img.Layers()) {
			return pages
		}
	}
	tb.Fatalf("no working set has pages of all %d layers", len(img.Layers()))
	return nil
}

// layersOf returns the layers that have the frames of pages.
func layersOf(tb testing.TB, img *store.Image, pages []uint32) map[int]bool {
	tb.Helper()
	layers := make(map[int]bool)
	for _, page := range pages {
		var ref [1]store.PageRef
		wantNoError(tb, img.Pages(int64(page), ref[:]))
		if ref[0].Kind != store.PageInFrame {
			continue
		}
		entry, err := img.Frame(ref[0].Frame)
		wantNoError(tb, err)
		layers[entry.Layer] = true
	}
	return layers
}

// TestPlanOfSeveralLayers: each frame is in one batch, and a batch knows where its
// frames lie in each file.
func TestPlanOfSeveralLayers(t *testing.T) {
	r := seedtest.Rand(t)
	paths, _ := chain(t, r, 2, store.PackOptions{Codec: store.CodecLZ4, FramePages: 4})
	img := opened(t, paths[2])
	pages := touchedInAllLayers(t, r, img)
	seen := make(map[uint32]bool)
	shared := 0
	wantNoError(t, makePlan(img, pages, func(b batch) error {
		var want batch
		for _, frame := range b.frames {
			if seen[frame] {
				t.Errorf("frame %d is planned twice", frame)
			}
			seen[frame] = true
			entry, err := img.Frame(frame)
			wantNoError(t, err)
			want.extend(entry)
			for _, e := range b.extents {
				if e.layer == entry.Layer && (entry.PackedOff < e.packedOff || entry.PackedOff+int64(entry.PackedLen) > e.packedEnd) {
					t.Errorf("frame %d is outside %+v", frame, e)
				}
			}
		}
		if !slices.Equal(b.extents, want.extents) {
			t.Errorf("a batch has the extents %+v, want %+v", b.extents, want.extents)
		}
		if len(b.extents) > 1 {
			shared++
		}
		return nil
	}))
	wantEqual(t, "frames", int64(len(seen)), framesOf(t, img, pages))
	if shared == 0 {
		t.Error("no batch has frames of several layers")
	}
}

// TestRunMergesLayers: neighbors go by one call, whichever layers they are in.
func TestRunMergesLayers(t *testing.T) {
	raw := make([]byte, 64*store.PageBytes)
	for page := range 64 {
		binary.LittleEndian.PutUint32(raw[page*store.PageBytes:], uint32(page+1))
	}
	options := store.PackOptions{Codec: store.CodecLZ4, FramePages: 16}
	parent := packed(t, raw, options).Path()
	later := slices.Clone(raw)
	for _, page := range []int{5, 20, 21} {
		later[page*store.PageBytes+100] = 0xff
	}
	img := opened(t, packedChild(t, later, parent, options))
	for _, c := range []struct {
		pages []uint32
		calls int
		gap   int64
	}{
		{[]uint32{4, 5, 6}, 1, 0},        // the parent, the child, the parent
		{[]uint32{19, 20, 21, 22}, 1, 0}, // two of each
		{[]uint32{19, 22}, 2, 0},         // the gap is in a frame of the child that nobody needs
		{[]uint32{5, 19, 22}, 2, 2},      // and now in one that is decoded
		{[]uint32{5, 20}, 2, 0},          // one frame, far apart
	} {
		sink := &memorySink{}
		run, _ := newRun(t, img, sink, c.pages)
		run.Do(t.Context())
		sink.check(t, later, c.pages)
		wantEqual(t, fmt.Sprintf("calls for %v", c.pages), sink.calls, c.calls)
		wantEqual(t, fmt.Sprintf("gap pages of %v", c.pages), run.config.Tracker.Counts().Gap, c.gap)
	}
}

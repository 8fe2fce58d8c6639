package store

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestWorkingSetRoundTrip(t *testing.T) {
	for _, runs := range [][]PageRun{
		{}, {{0, 1}}, {{9, 1}, {0, 9}}, {{FirstPage: 0, PageCount: 10}},
	} {
		got, err := decodeWorkingSet(encodeWorkingSet(runs), 10)
		wantNoError(t, err)
		wantEqual(t, "working set is the same", slices.Equal(got, runs), true)
	}
	last := []PageRun{{FirstPage: 1<<30 - 1, PageCount: 1}}
	got, err := decodeWorkingSet(encodeWorkingSet(last), 1<<30)
	wantNoError(t, err)
	wantEqual(t, "last page", got[0], last[0])
}

func TestWorkingSetRefusals(t *testing.T) {
	for name, b := range map[string][]byte{
		"half a run":                 make([]byte, 12),
		"no pages":                   encodeWorkingSet([]PageRun{{3, 0}}),
		"behind the image":           encodeWorkingSet([]PageRun{{10, 1}}),
		"over the end":               encodeWorkingSet([]PageRun{{9, 2}}),
		"sum overflows 32 bits":      encodeWorkingSet([]PageRun{{1<<32 - 1, 1<<32 - 1}}),
		"more pages than the image":  encodeWorkingSet([]PageRun{{0, 6}, {5, 5}}),
		"one page again and again":   encodeWorkingSet(slices.Repeat([]PageRun{{0, 1}}, 11)),
		"second run behind the last": encodeWorkingSet([]PageRun{{0, 1}, {11, 1}}),
	} {
		if _, err := decodeWorkingSet(b, 10); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
}

// TestWorkingSetIsBounded writes more runs than a reader may be made to hold.
func TestWorkingSetIsBounded(t *testing.T) {
	for extra := range int64(2) {
		path := filepath.Join(t.TempDir(), "image.sabre")
		w, err := newImageWriter(path, false, 0o600, 3*MaxWorkingSetRuns*PageBytes, 0)
		wantNoError(t, err)
		w.header.ZeroPages = w.header.PageCount()
		w.workingSet = make([]PageRun, MaxWorkingSetRuns+extra)
		for i := range w.workingSet {
			w.workingSet[i] = PageRun{FirstPage: uint32(i), PageCount: 1}
		}
		_, err = w.finish(newContentDigester(w.header.RawBytes))
		wantNoError(t, err)
		runs, err := openImage(t, path).WorkingSet()
		if extra == 0 {
			wantNoError(t, err)
			wantEqual(t, "runs", len(runs), MaxWorkingSetRuns)
			continue
		}
		wantClass(t, err, ErrCorrupt)
	}
}

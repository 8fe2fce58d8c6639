package prefetch

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

func TestTraceOfAnImage(t *testing.T) {
	trace := smallTrace()
	header := &store.Header{Identity: trace.Image, RawBytes: trace.RawBytes}
	wantNoError(t, trace.Check(header))
	header.UUID = uuid.New() // packed again: the same content
	wantNoError(t, trace.Check(header))
	header.RawBytes++
	wantClass(t, trace.Check(header), ErrOtherImage)
	header.RawBytes--
	header.Digest[31]++
	wantClass(t, trace.Check(header), ErrOtherImage)
}

func TestPages(t *testing.T) {
	trace := smallTrace()
	if got := trace.Pages(); !slices.Equal(got, []uint32{3, 4, 0}) {
		t.Errorf("pages are %v", got)
	}
	want := []store.PageRun{{FirstPage: 3, PageCount: 2}, {FirstPage: 0, PageCount: 1}}
	if got := trace.PageRuns(); !slices.Equal(got, want) {
		t.Errorf("runs are %v", got)
	}
	wantEqual(t, "pages of memory", trace.PageCount(), 5)
	wantEqual(t, "size of the working set", trace.TouchedBytes(), 3*store.PageBytes)
	var empty Trace
	wantEqual(t, "runs of an empty trace", len(empty.PageRuns()), 0)
}

func TestPageSet(t *testing.T) {
	r := seedtest.Rand(t)
	set, want := newPageSet(0), map[uint32]bool{}
	for range 5000 {
		page := uint32(r.IntN(2000))
		if r.IntN(2) == 0 {
			page = ^page
		}
		wantEqual(t, "has", set.has(page), want[page])
		wantEqual(t, "added", set.add(page), !want[page])
		want[page] = true
	}
}

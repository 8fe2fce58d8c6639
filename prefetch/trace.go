package prefetch

import (
	"errors"
	"fmt"
	"math"
	"time"

	"sabrefs/store"
)

// TraceSuffix ends the names of trace files.
const TraceSuffix = ".ws"

// MaxTouches is the number of pages that a trace can hold: all of a guest of
// 64 GiB. With it, no trace file has more than 192 MiB.
const MaxTouches = 1 << 24

var (
	// ErrTrace is returned when a file is not a trace, is truncated, is damaged
	// or says what no recording can have seen; and when a trace that should be
	// written does.
	ErrTrace = errors.New("not a valid trace of a working set")
	// ErrTraceVersion is returned when a trace is of a newer version than this
	// build reads. It is an ErrTrace.
	ErrTraceVersion = fmt.Errorf("%w: its version is not supported", ErrTrace)
	// ErrOtherImage is returned when a trace is about other content than the
	// image, or the other trace, that it should be used with.
	ErrOtherImage = errors.New("trace is of another image")
)

// Touch is the first touch of one guest page.
type Touch struct {
	Page     uint32 // number of the guest page
	AtMicros uint32 // microseconds after the recording began, at most 71 minutes
	Runs     uint32 // in how many of the runs it was seen, at least 1
}

// Trace is a recorded working set.
type Trace struct {
	// Image is what was recorded. Its digest decides where the trace may be
	// used; its UUID is for people.
	Image store.Identity
	// RawBytes is the size of the recorded memory.
	RawBytes int64
	// CreatedAt is when the recording began; zero if nobody knows. Of merged
	// traces it is that of the newest.
	CreatedAt time.Time
	// Runs is the number of recordings that this trace is made of, at least 1.
	Runs uint32
	// Touches are in the order of first touch; each page occurs once.
	Touches []Touch
}

// PageCount is the number of pages of the recorded memory, the last of which may
// be partial.
func (t *Trace) PageCount() int64 { return pagesOf(t.RawBytes) }

func pagesOf(rawBytes int64) int64 { return (rawBytes + store.PageBytes - 1) / store.PageBytes }

// TouchedBytes is the size of the working set. A partial last page counts as a
// whole one, for so it is read.
func (t *Trace) TouchedBytes() int64 { return int64(len(t.Touches)) * store.PageBytes }

// Pages returns the numbers of the pages in the order of first touch.
func (t *Trace) Pages() []uint32 {
	pages := make([]uint32, len(t.Touches))
	for i, touch := range t.Touches {
		pages[i] = touch.Page
	}
	return pages
}

// PageRuns returns the same pages as runs: where a page was touched right after
// the one below it, they are one run.
func (t *Trace) PageRuns() []store.PageRun {
	var runs []store.PageRun
	for _, touch := range t.Touches {
		if last := len(runs) - 1; last >= 0 && runs[last].FirstPage+runs[last].PageCount == touch.Page {
			runs[last].PageCount++
			continue
		}
		runs = append(runs, store.PageRun{FirstPage: touch.Page, PageCount: 1})
	}
	return runs
}

// Check returns ErrOtherImage unless the trace is about the content of the
// image that has the header h.
func (t *Trace) Check(h *store.Header) error {
	if t.Image.Digest == h.Digest && t.RawBytes == h.RawBytes {
		return nil
	}
	return fmt.Errorf("%w: recorded from content %s of %d bytes, the image has %s of %d bytes",
		ErrOtherImage, t.Image.Digest, t.RawBytes, h.Digest, h.RawBytes)
}

// CheckSame returns ErrOtherImage unless page numbers mean the same in both traces.
func (t *Trace) CheckSame(other *Trace) error {
	if t.Image.Digest == other.Image.Digest && t.RawBytes == other.RawBytes {
		return nil
	}
	return fmt.Errorf("%w: content %s of %d bytes and content %s of %d bytes",
		ErrOtherImage, t.Image.Digest, t.RawBytes, other.Image.Digest, other.RawBytes)
}

// validate finds whatever the format does not allow. It is what decoding ends
// with and encoding begins with. The offsets are those in the file.
func (t *Trace) validate() error {
	switch {
	case t.RawBytes < 0 || t.RawBytes > store.MaxRawBytes:
		return findingAt(hdrRawBytes, "memory of %d bytes, at most %d", t.RawBytes, store.MaxRawBytes)
	case t.Runs == 0:
		return findingAt(hdrRuns, "made of no run")
	case int64(len(t.Touches)) > maxTouchesOf(t.RawBytes):
		return findingAt(hdrTouches, "%d pages touched, at most %d in a memory of %d bytes", len(t.Touches), maxTouchesOf(t.RawBytes), t.RawBytes)
	case !t.CreatedAt.IsZero() && !time.Unix(0, t.CreatedAt.UnixNano()).Equal(t.CreatedAt):
		return findingAt(hdrCreated, "a time of creation in the year %d", t.CreatedAt.Year())
	}
	return t.validateTouches()
}

// maxTouchesOf is how many pages of a memory a trace can hold.
func maxTouchesOf(rawBytes int64) int64 { return min(pagesOf(rawBytes), MaxTouches) }

func (t *Trace) validateTouches() error {
	pageCount, seen := t.PageCount(), newPageSet(len(t.Touches))
	var lastMicros uint32
	for i, touch := range t.Touches {
		at := touchOff(i)
		switch {
		case int64(touch.Page) >= pageCount:
			return findingAt(at, "page %d of a memory of %d pages", touch.Page, pageCount)
		case touch.AtMicros < lastMicros:
			return findingAt(at+touchAt, "page %d was touched at %d us, the one before it at %d us", touch.Page, touch.AtMicros, lastMicros)
		case touch.Runs == 0 || touch.Runs > t.Runs:
			return findingAt(at+touchRuns, "page %d was seen in %d of %d runs", touch.Page, touch.Runs, t.Runs)
		case !seen.add(touch.Page):
			return findingAt(at, "page %d for the second time", touch.Page)
		}
		lastMicros = touch.AtMicros
	}
	return nil
}

// pageSet is a set of page numbers. Its size depends on how many there are and
// not on how large they are; pages side by side share an entry.
type pageSet map[uint32]uint64

const pageSetBits = 64

func newPageSet(pageCount int) pageSet {
	return make(pageSet, min(pageCount, math.MaxUint16)/pageSetBits)
}

// add returns false if the page is in the set already.
func (s pageSet) add(page uint32) bool {
	word, bit := s[page/pageSetBits], uint64(1)<<(page%pageSetBits)
	s[page/pageSetBits] = word | bit
	return word&bit == 0
}

func (s pageSet) has(page uint32) bool {
	return s[page/pageSetBits]&(1<<(page%pageSetBits)) != 0
}

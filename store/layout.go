package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"sabrefs/iaa"
)

const (
	// hotWindowPages is how far the pages of a working set may move: they are
	// put into frames in the order of their first touch, but within each window
	// of so many (4 MiB) in the order of their addresses. Whoever pushes them
	// into a page cache pays for every run of neighbors, some microseconds, and
	// the guest does not notice an order that is off by 4 MiB.
	hotWindowPages = 1024
	// hotGapPages is how many pages between two of a window are taken along, so
	// that one run is made of two.
	hotGapPages = 2
)

// AutoHotCodec is the codec for the pages of a working set: DEFLATE where an
// accelerator decodes it, else LZ4, which software decodes fastest.
func AutoHotCodec(engine iaa.Engine) Codec {
	if engine == nil {
		engine = iaa.Default()
	}
	if iaa.Accelerated(engine) {
		return CodecDeflate
	}
	return CodecLZ4
}

// DefaultHotFramePages is the frame size that suits a codec for a working set.
// All of it is read, so a frame need not be small for the sake of one page; LZ4
// gains from 64 KiB, which is its window.
func DefaultHotFramePages(codec Codec) int {
	if codec == CodecDeflate {
		return 4
	}
	return 16
}

// appendPage adds a page to the last run, or begins a run.
func appendPage(runs []PageRun, page uint32) []PageRun {
	if n := len(runs); n > 0 {
		if last := &runs[n-1]; int64(last.FirstPage)+int64(last.PageCount) == int64(page) {
			last.PageCount++
			return runs
		}
	}
	return append(runs, PageRun{FirstPage: page, PageCount: 1})
}

// hotLayout decides which pages go into the first frames of an image, and in
// which order. It takes a bit for each page of the memory file.
type hotLayout struct {
	// recorded has each page once, in the order of the first touch, in at most
	// MaxWorkingSetRuns runs.
	recorded []PageRun
	placed   bitmap // pages that forEachRun has visited
}

// newHotLayout refuses runs that are not within pageCount pages. Without runs
// there is no layout, and it returns nil.
func newHotLayout(runs []PageRun, pageCount int64) (*hotLayout, error) {
	for _, r := range runs {
		if r.PageCount == 0 || int64(r.FirstPage)+int64(r.PageCount) > pageCount {
			return nil, fmt.Errorf("%w: the working set has %d pages from page %d on, the memory has %d pages", ErrOption, r.PageCount, r.FirstPage, pageCount)
		}
	}
	if len(runs) == 0 {
		return nil, nil //nolint:nilnil // no layout is an answer
	}
	return &hotLayout{recorded: firstTouches(runs, pageCount), placed: newBitmap(pageCount)}, nil
}

// firstTouches leaves out pages that occurred before, and what comes after the
// last run that an image has room for.
func firstTouches(runs []PageRun, pageCount int64) []PageRun {
	seen := newBitmap(pageCount)
	var once []PageRun
	for _, r := range runs {
		for page := r.FirstPage; page-r.FirstPage < r.PageCount; page++ {
			if seen.has(int64(page)) {
				continue
			}
			seen.set(int64(page))
			if once = appendPage(once, page); len(once) > MaxWorkingSetRuns {
				return once[:MaxWorkingSetRuns]
			}
		}
	}
	return once
}

// pages is the number of recorded pages.
func (l *hotLayout) pages() int64 {
	var total int64
	for _, r := range l.recorded {
		total += int64(r.PageCount)
	}
	return total
}

// forEachRun visits the pages in the order of the layout, each once, in runs of
// at most maxPages.
func (l *hotLayout) forEachRun(ctx context.Context, maxPages int64, visit func(firstPage, pageCount int64) error) error {
	window := make([]uint32, 0, hotWindowPages)
	for _, r := range l.recorded {
		for page := r.FirstPage; page-r.FirstPage < r.PageCount; page++ {
			if l.placed.has(int64(page)) {
				continue // between two pages of an earlier window
			}
			if window = append(window, page); len(window) < hotWindowPages {
				continue
			}
			if err := l.visitWindow(ctx, window, maxPages, visit); err != nil {
				return err
			}
			window = window[:0]
		}
	}
	return l.visitWindow(ctx, window, maxPages, visit)
}

func (l *hotLayout) visitWindow(ctx context.Context, window []uint32, maxPages int64, visit func(firstPage, pageCount int64) error) error {
	for _, r := range l.take(window) {
		for first, end := int64(r.FirstPage), int64(r.FirstPage)+int64(r.PageCount); first < end; first += maxPages {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(first, min(maxPages, end-first)); err != nil {
				return err
			}
		}
	}
	return nil
}

// take sorts a window and returns the runs it makes, with the small gaps filled
// and without what was placed before.
func (l *hotLayout) take(window []uint32) []PageRun {
	slices.Sort(window)
	var runs []PageRun
	end := int64(-1) // behind the page before
	for _, page := range window {
		first := int64(page)
		if end >= 0 && first-end <= hotGapPages {
			first = end
		}
		end = int64(page) + 1
		for p := first; p < end; p++ {
			if !l.placed.has(p) {
				l.placed.set(p)
				runs = appendPage(runs, uint32(p))
			}
		}
	}
	return runs
}

// placedSum is a sum of the contents of pages, in any order. Pages of a working
// set are read twice, for their place and for the digest of the image: the sums
// of both show whether they were the same. It finds accidents.
type placedSum [4]uint64

func (s *placedSum) add(page int64, digest Digest) {
	for i := range s {
		s[i] += binary.LittleEndian.Uint64(digest[8*i:]) * uint64(2*page+1)
	}
}

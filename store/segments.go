package store

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"
)

// segmentPages is the number of pages that are read and hashed at a time.
const segmentPages = 256

// segment is a run of pages of the input on its way through the pipeline.
type segment struct {
	firstPage int64
	pageCount int64
	hot       bool   // its pages come first, and once more in their order
	raw       []byte // segmentPages pages, of which pageCount are valid
	digests   []Digest
	zero      []bool
	ready     chan struct{} // closed when digests and zero are set
}

// segmentStream reads a memory source and hashes its pages on several
// goroutines, and hands the segments out in their order. Segments are made once
// and go round, which bounds the memory.
type segmentStream struct {
	src     memorySource
	workers int
	hot     *hotLayout // pages that come first, if not nil

	free, toHash, hashed chan *segment
}

func newSegmentStream(src memorySource, workers int) *segmentStream {
	// a small file needs few segments, however many workers there are
	inFlight := min(4*int64(workers), pagesOf(src.rawBytes())/segmentPages+1)
	st := &segmentStream{
		src: src, workers: workers,
		free: make(chan *segment, inFlight), toHash: make(chan *segment, inFlight), hashed: make(chan *segment, inFlight),
	}
	for range inFlight {
		st.free <- &segment{raw: make([]byte, segmentPages*PageBytes), digests: make([]Digest, segmentPages), zero: make([]bool, segmentPages)}
	}
	return st
}

// start runs the stages in the group.
func (st *segmentStream) start(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return st.scan(ctx) })
	for range st.workers {
		group.Go(func() error { return st.hash(ctx) })
	}
}

// forEach calls visit with every segment, in order, until the source ends.
func (st *segmentStream) forEach(ctx context.Context, visit func(*segment) error) error {
	for {
		s, open, err := receive(ctx, st.hashed)
		if err != nil || !open {
			return err
		}
		if err := await(ctx, s.ready); err != nil {
			return err
		}
		if err := visit(s); err != nil {
			return err
		}
		st.free <- s // has room for all segments: never waits
	}
}

// scan finds the data of the input, after the pages that come first.
func (st *segmentStream) scan(ctx context.Context) error {
	defer close(st.toHash)
	defer close(st.hashed)
	if st.hot != nil {
		err := st.hot.forEachRun(ctx, segmentPages, func(firstPage, pageCount int64) error {
			return st.begin(ctx, firstPage, pageCount, true)
		})
		if err != nil {
			return err
		}
	}
	return forEachSegment(ctx, st.src, segmentPages, func(firstPage, pageCount int64) error {
		return st.begin(ctx, firstPage, pageCount, false)
	})
}

// begin sends a segment on its way.
func (st *segmentStream) begin(ctx context.Context, firstPage, pageCount int64, hot bool) error {
	s, _, err := receive(ctx, st.free)
	if err != nil {
		return err
	}
	s.firstPage, s.pageCount, s.hot, s.ready = firstPage, pageCount, hot, make(chan struct{})
	if err := send(ctx, st.hashed, s); err != nil {
		return err
	}
	return send(ctx, st.toHash, s)
}

// hash reads segments and finds what their pages are.
func (st *segmentStream) hash(ctx context.Context) error {
	for {
		s, open, err := receive(ctx, st.toHash)
		if err != nil || !open {
			return err
		}
		if err := s.fill(st.src); err != nil {
			return err
		}
		close(s.ready)
	}
}

// digestedSource is a source that knows what most of its pages are without reading
// them.
type digestedSource interface {
	// fillSegment sets zero and digests of the segment, and raw of the pages that may
	// have to be stored.
	fillSegment(s *segment) error
}

func (s *segment) fill(src memorySource) error {
	if digested, ok := src.(digestedSource); ok {
		return digested.fillSegment(s)
	}
	return s.readPages(src, 0, s.pageCount)
}

// readPages reads count pages of the segment from its page i on, and digests them. The
// part of the last page beyond the end of the input counts as zeros.
func (s *segment) readPages(src memorySource, i, count int64) error {
	rawOff, raw := (s.firstPage+i)*PageBytes, s.raw[i*PageBytes:][:count*PageBytes]
	want := min(count*PageBytes, src.rawBytes()-rawOff)
	n, err := src.ReadAt(raw[:want], rawOff)
	switch {
	case int64(n) == want:
		clear(raw[want:])
		s.digestPages(i, count)
		return nil
	case errors.Is(err, io.EOF):
		return findingAt(ErrChanged, rawOff+int64(n), "it became shorter")
	default:
		return err
	}
}

func (s *segment) page(i int64) []byte { return s.raw[i*PageBytes:][:PageBytes] }

// endRawOff is the raw offset behind the segment, in a file of rawBytes.
func (s *segment) endRawOff(rawBytes int64) int64 {
	return min((s.firstPage+s.pageCount)*PageBytes, rawBytes)
}

func (s *segment) digestPages(first, count int64) {
	for i := first; i < first+count; i++ {
		page := s.page(i)
		if s.zero[i] = isZero(page); !s.zero[i] {
			s.digests[i] = pageDigest(page)
		}
	}
}

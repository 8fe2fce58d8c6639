package store

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// ReadAt fills dst with the raw bytes from rawOff on, through the cache. At
// the end of the memory file it returns the number of bytes there were and
// io.EOF. On any other error dst must not be used: it may be half written.
func (c *FrameCache) ReadAt(ctx context.Context, img *Image, dst []byte, rawOff int64) (int, error) {
	n, keep, err := c.ReadFirst(ctx, img, dst, rawOff)
	if keep != nil {
		keep()
	}
	return n, err
}

// ReadFirst is ReadAt for a caller whom somebody waits for. If keep is not nil,
// the caller must call it once the bytes are on their way: it puts into the cache
// what was decoded. Others who need the same frame wait for it.
func (c *FrameCache) ReadFirst(ctx context.Context, img *Image, dst []byte, rawOff int64) (n int, keep func(), err error) {
	if rawOff < 0 {
		return 0, nil, fmt.Errorf("%s: raw offset %d: %w", img.path, rawOff, ErrOption)
	}
	if rawOff >= img.header.RawBytes {
		return 0, nil, io.EOF
	}
	var eof error
	if left := img.header.RawBytes - rawOff; int64(len(dst)) > left {
		dst, eof = dst[:left], io.EOF
	}
	if len(dst) == 0 {
		return 0, nil, eof
	}
	firstPage, endPage := rawOff/PageBytes, pagesOf(rawOff+int64(len(dst)))
	refs := make([]PageRef, endPage-firstPage)
	if err := img.Pages(firstPage, refs); err != nil {
		return 0, nil, err
	}
	r := rangeReader{cache: c, img: img, refs: refs}
	if err := r.fetchFrames(ctx); err != nil {
		return 0, nil, err
	}
	if err := r.copyPages(dst, int(rawOff%PageBytes)); err != nil {
		if r.keep != nil {
			r.keep()
		}
		return 0, nil, err
	}
	return len(dst), r.keep, eof
}

// rangeReader serves one request. Pages of a frame are rarely all adjacent
// (zero and duplicate pages lie between them), so it gets every frame once and
// keeps it in hand: the cache may drop it at any time.
type rangeReader struct {
	cache *FrameCache
	img   *Image
	refs  []PageRef

	frames []uint32 // the different frames of refs
	raw    [][]byte // their bytes, once fetched
	index  []int    // for each ref in a frame, which of frames it is
	keep   func()   // see ReadFirst
}

// fetchFrames decodes what the request needs, on several cores if there is
// enough of it: the kernel waits for the whole request.
func (r *rangeReader) fetchFrames(ctx context.Context) error {
	if err := r.listFrames(); err != nil {
		return err
	}
	r.raw = make([][]byte, len(r.frames))
	if len(r.frames) == 1 {
		return r.fetchOne(ctx)
	}
	const framesPerWorker = 2 // less does not pay for waking a thread
	workers := min(runtime.GOMAXPROCS(0), len(r.frames)/framesPerWorker)
	if workers <= 1 {
		return r.fetchFrom(ctx, new(atomic.Int64))
	}
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range workers {
		group.Go(func() error { return r.fetchFrom(ctx, &next) })
	}
	return group.Wait()
}

// fetchOne gets the only frame: a page fault, as a rule.
func (r *rangeReader) fetchOne(ctx context.Context) error {
	raw, keep, err := r.cache.frameFirst(ctx, r.img, r.frames[0])
	if keep != nil {
		r.keep = func() { keep() }
	}
	r.raw[0] = raw
	return err
}

// fetchFrom gets frames until there are none left; next is shared by all who
// do.
func (r *rangeReader) fetchFrom(ctx context.Context, next *atomic.Int64) error {
	for {
		i := int(next.Add(1) - 1)
		if i >= len(r.frames) {
			return nil
		}
		raw, err := r.cache.Frame(ctx, r.img, r.frames[i])
		if err != nil {
			return err
		}
		r.raw[i] = raw
	}
}

// listFrames finds the different frames of the request.
func (r *rangeReader) listFrames() error {
	r.index = make([]int, len(r.refs))
	seen := make(map[uint32]int)
	for i, ref := range r.refs {
		if ref.Kind == PageZero {
			continue
		}
		if ref.Kind != PageInFrame {
			return inFile(r.img.path, findingAt(ErrParent, wholeFile, "page %d of the parent", ref.ParentPage))
		}
		at, ok := seen[ref.Frame]
		if !ok {
			at = len(r.frames)
			seen[ref.Frame] = at
			r.frames = append(r.frames, ref.Frame)
		}
		r.index[i] = at
	}
	return nil
}

// copyPages fills dst; skipBytes is where dst begins in the first page.
func (r *rangeReader) copyPages(dst []byte, skipBytes int) error {
	for i, ref := range r.refs {
		n := min(PageBytes-skipBytes, len(dst))
		if ref.Kind == PageZero {
			clear(dst[:n])
		} else if err := r.copyPage(dst[:n], skipBytes, ref, r.raw[r.index[i]]); err != nil {
			return err
		}
		dst, skipBytes = dst[n:], 0
	}
	return nil
}

func (r *rangeReader) copyPage(dst []byte, skipBytes int, ref PageRef, raw []byte) error {
	slotOff := int(ref.Slot) * PageBytes
	if slotOff >= len(raw) {
		return inFile(r.img.path, corruptAt(wholeFile, "slot %d of frame %d, which has %d pages", ref.Slot, ref.Frame, len(raw)/PageBytes))
	}
	copy(dst, raw[slotOff+skipBytes:])
	return nil
}

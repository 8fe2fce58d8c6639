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
	r := rangeReader{cache: c, img: img, dst: dst, skipBytes: int(rawOff % PageBytes)}
	if err := r.read(ctx, refs); err != nil {
		return 0, nil, err
	}
	return len(dst), r.keep, eof
}

// rangeReader serves one request. Pages of a frame are rarely all adjacent
// (zero and duplicate pages lie between them), so it gets every frame once.
type rangeReader struct {
	cache     *FrameCache
	img       *Image
	dst       []byte
	skipBytes int // where dst begins in the first page

	frames []frameUse
	keep   func() // see ReadFirst
}

// frameUse is what a request needs of one frame.
type frameUse struct {
	frame uint32
	pages []pageUse
}

// pageUse is a page of the request and its slot in the frame.
type pageUse struct {
	index int // in the request
	slot  uint8
}

// read fills dst: zeros first, then frame by frame, on several cores if there
// are enough of them, for the kernel waits for the whole request.
func (r *rangeReader) read(ctx context.Context, refs []PageRef) error {
	if err := r.sortPages(refs); err != nil {
		return err
	}
	if len(r.frames) == 1 {
		return r.readOne(ctx)
	}
	const framesPerWorker = 2 // less does not pay for waking a thread
	workers := min(runtime.GOMAXPROCS(0), len(r.frames)/framesPerWorker)
	var next atomic.Int64
	if workers <= 1 {
		return r.readFrom(ctx, &next)
	}
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error { return r.readFrom(ctx, &next) })
	}
	return group.Wait()
}

// sortPages clears the pages of zeros and lists the others by frame.
func (r *rangeReader) sortPages(refs []PageRef) error {
	at := make(map[uint32]int)
	for i, ref := range refs {
		switch ref.Kind {
		case PageZero:
			clear(r.page(i))
		case PageInFrame:
			use, ok := at[ref.Frame]
			if !ok {
				use = len(r.frames)
				at[ref.Frame] = use
				r.frames = append(r.frames, frameUse{frame: ref.Frame})
			}
			r.frames[use].pages = append(r.frames[use].pages, pageUse{i, ref.Slot})
		case PageInParent:
			return inFile(r.img.path, findingAt(ErrParent, wholeFile, "page %d of the parent", ref.ParentPage))
		}
	}
	return nil
}

// page is the part of dst that a page of the request fills.
func (r *rangeReader) page(index int) []byte {
	if index == 0 {
		return r.dst[:min(PageBytes-r.skipBytes, len(r.dst))]
	}
	dstOff := index*PageBytes - r.skipBytes
	return r.dst[dstOff:min(dstOff+PageBytes, len(r.dst))]
}

// readOne reads from the only frame, a page fault as a rule, and leaves it to
// the caller when to put it into the cache.
func (r *rangeReader) readOne(ctx context.Context) error {
	raw, fresh, err := r.cache.frameFirst(ctx, r.img, r.frames[0].frame)
	if err != nil {
		return err
	}
	err = r.copyFrame(&r.frames[0], raw)
	if fresh == nil {
		return err
	}
	if err != nil {
		fresh.drop()
		return err
	}
	r.keep = func() { fresh.keep() }
	return nil
}

// readFrom reads from frames until there are none left; next is shared by all
// who do. A frame of which all is used is not kept: its pages are in the
// kernel's cache then, and a copy would only take the place of another.
func (r *rangeReader) readFrom(ctx context.Context, next *atomic.Int64) error {
	for {
		i := int(next.Add(1) - 1)
		if i >= len(r.frames) {
			return nil
		}
		use := &r.frames[i]
		raw, fresh, err := r.cache.frameFirst(ctx, r.img, use.frame)
		if err != nil {
			return err
		}
		err = r.copyFrame(use, raw)
		switch {
		case fresh == nil:
		case err != nil, len(use.pages)*PageBytes >= len(raw):
			fresh.drop()
		default:
			fresh.keep()
		}
		if err != nil {
			return err
		}
	}
}

// copyFrame copies the pages that the request needs of a frame.
func (r *rangeReader) copyFrame(use *frameUse, raw []byte) error {
	for _, p := range use.pages {
		slotOff := int(p.slot) * PageBytes
		if slotOff >= len(raw) {
			return inFile(r.img.path, corruptAt(wholeFile, "slot %d of frame %d, which has %d pages", p.slot, use.frame, len(raw)/PageBytes))
		}
		if p.index == 0 {
			slotOff += r.skipBytes
		}
		copy(r.page(p.index), raw[slotOff:])
	}
	return nil
}

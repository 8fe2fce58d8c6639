package store

import (
	"context"
	"errors"
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
	served, err := c.ReadFirst(ctx, img, dst, rawOff)
	if served.Keep != nil {
		served.Keep()
	}
	return served.LenBytes, err
}

// Source says where the bytes of a request came from; of several, the slowest.
type Source uint8

// The sources, from the fastest to the slowest.
const (
	FromZeros  Source = iota // all pages are zero
	FromCache                // a decoded frame was in the cache
	FromAhead                // a frame that an AheadReader has, or was decoding
	FromDecode               // a frame that was decoded for the request, or for another one
)

// Served is what ReadFirst found.
type Served struct {
	LenBytes int
	Source   Source
	// Keep, if not nil, must be called once the bytes are on their way: it puts
	// into the cache what was decoded. Others who need the same frame wait for it.
	Keep func()
}

// ReadFirst is ReadAt for a caller whom somebody waits for.
func (c *FrameCache) ReadFirst(ctx context.Context, img *Image, dst []byte, rawOff int64) (Served, error) {
	if rawOff < 0 {
		return Served{}, fmt.Errorf("%s: raw offset %d: %w", img.path, rawOff, ErrOption)
	}
	if rawOff >= img.header.RawBytes {
		return Served{}, io.EOF
	}
	var eof error
	if left := img.header.RawBytes - rawOff; int64(len(dst)) > left {
		dst, eof = dst[:left], io.EOF
	}
	if len(dst) == 0 {
		return Served{}, eof
	}
	firstPage, endPage := rawOff/PageBytes, pagesOf(rawOff+int64(len(dst)))
	refs := make([]PageRef, endPage-firstPage)
	if err := img.Pages(firstPage, refs); err != nil {
		return Served{}, err
	}
	r := rangeReader{cache: c, img: img, dst: dst, skipBytes: int(rawOff % PageBytes)}
	if err := r.read(ctx, refs); err != nil {
		return Served{}, err
	}
	return Served{LenBytes: len(dst), Source: Source(r.source.Load()), Keep: r.keep}, eof
}

// rangeReader serves one request. Pages of a frame are rarely all adjacent
// (zero and duplicate pages lie between them), so it gets every frame once.
type rangeReader struct {
	cache     *FrameCache
	img       *Image
	dst       []byte
	skipBytes int // where dst begins in the first page

	frames []frameUse
	keep   func()        // see Served
	source atomic.Uint32 // a Source
}

// used takes note of a source; the slowest counts.
func (r *rangeReader) used(s Source) {
	for {
		known := r.source.Load()
		if uint32(s) <= known || r.source.CompareAndSwap(known, uint32(s)) {
			return
		}
	}
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
		return r.readFrom(ctx, &next, len(r.frames))
	}
	group, ctx := errgroup.WithContext(ctx)
	share := (len(r.frames) + workers - 1) / workers
	for range workers {
		group.Go(func() error { return r.readFrom(ctx, &next, share) })
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
	raw, fresh, source, err := r.cache.frameFirst(ctx, r.img, r.frames[0].frame)
	if err != nil {
		return err
	}
	r.used(source)
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

// readFrom reads from frames until there are none left, up to so many at once;
// next is shared by all who do.
func (r *rangeReader) readFrom(ctx context.Context, next *atomic.Int64, atOnce int) error {
	atOnce = min(atOnce, batchFrames)
	for {
		end := int(next.Add(int64(atOnce)))
		first := end - atOnce
		if first >= len(r.frames) {
			return nil
		}
		if err := r.readBatch(ctx, r.frames[first:min(end, len(r.frames))]); err != nil {
			return err
		}
	}
}

// batchFrames bounds how many frames are decoded at once, and hence the scratch
// memory of a request.
const batchFrames = 8

// readBatch reads from several frames: first from those that nobody else is
// decoding, and then from those for which it has to wait, so that two requests
// never wait for each other.
func (r *rangeReader) readBatch(ctx context.Context, uses []frameUse) error {
	mine, others := r.claim(uses)
	if len(mine) > 0 {
		r.used(FromDecode)
	}
	r.img.decodeFresh(ctx, mine)
	var failed error
	for i := range mine {
		failed = errors.Join(failed, r.take(&mine[i]))
	}
	for i := range others {
		if failed != nil {
			others[i].abandon()
			continue
		}
		failed = others[i].read(ctx, r)
	}
	return failed
}

// otherFrame is a frame that is in the cache, or that another request decodes.
type otherFrame struct {
	use    *frameUse
	raw    []byte
	flight *flight // nil if raw is there
}

// abandon gives up a frame that is no longer needed.
func (o *otherFrame) abandon() {
	if o.flight != nil {
		o.flight.readers.Done()
	}
}

func (o *otherFrame) read(ctx context.Context, r *rangeReader) error {
	source := FromCache
	if o.flight != nil {
		var err error
		source = o.flight.source()
		o.raw, err = o.flight.wait(ctx)
		if errors.Is(err, errAheadFailed) {
			source = FromDecode
			o.raw, err = r.cache.Frame(ctx, r.img, o.use.frame)
		}
		if err != nil {
			return err
		}
	}
	r.used(source)
	return r.copyFrame(o.use, o.raw)
}

// claim divides frames into those that the caller is to decode and others.
func (r *rangeReader) claim(uses []frameUse) (mine []freshFrame, others []otherFrame) {
	mine = make([]freshFrame, 0, len(uses))
	for i := range uses {
		use := &uses[i]
		if raw, ok := r.cache.Lookup(r.img, use.frame); ok {
			others = append(others, otherFrame{use: use, raw: raw})
			continue
		}
		key := cacheKey(r.img, use.frame)
		f, leads := r.cache.join(key, false)
		if leads {
			mine = append(mine, freshFrame{cache: r.cache, key: key, flight: f, use: use})
		} else {
			others = append(others, otherFrame{use: use, flight: f})
		}
	}
	return mine, others
}

// take copies what the request needs of a frame that was decoded for it. A frame
// of which all is used is not kept: its pages are in the kernel's cache then, and
// a copy would only take the place of another.
func (r *rangeReader) take(fresh *freshFrame) error {
	if fresh.err != nil {
		fresh.fail()
		return fresh.err
	}
	err := r.copyFrame(fresh.use, fresh.raw)
	if err != nil || len(fresh.use.pages)*PageBytes >= len(fresh.raw) {
		fresh.drop()
	} else {
		fresh.keep()
	}
	return err
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

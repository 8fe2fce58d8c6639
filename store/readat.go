package store

import (
	"context"
	"fmt"
	"io"
)

// ReadAt fills dst with the raw bytes from rawOff on, through the cache. At
// the end of the memory file it returns the number of bytes there were and
// io.EOF. On any other error dst must not be used: it may be half written.
func (c *FrameCache) ReadAt(ctx context.Context, img *Image, dst []byte, rawOff int64) (int, error) {
	if rawOff < 0 {
		return 0, fmt.Errorf("%s: raw offset %d: %w", img.path, rawOff, ErrOption)
	}
	if rawOff >= img.header.RawBytes {
		return 0, io.EOF
	}
	var eof error
	if left := img.header.RawBytes - rawOff; int64(len(dst)) > left {
		dst, eof = dst[:left], io.EOF
	}
	if len(dst) == 0 {
		return 0, eof
	}
	firstPage, endPage := rawOff/PageBytes, pagesOf(rawOff+int64(len(dst)))
	refs := make([]PageRef, endPage-firstPage)
	if err := img.Pages(firstPage, refs); err != nil {
		return 0, err
	}
	r := rangeReader{cache: c, img: img, recent: make(map[uint32][]byte)}
	if err := r.read(ctx, dst, int(rawOff%PageBytes), refs); err != nil {
		return 0, err
	}
	return len(dst), eof
}

// rangeReader copies pages of one request. Pages of a frame are rarely all
// adjacent (zero and duplicate pages lie between them), so it keeps the frames
// of the request in hand: the cache may drop them at any time.
type rangeReader struct {
	cache  *FrameCache
	img    *Image
	recent map[uint32][]byte
}

// read fills dst from the pages in refs; skipBytes is where dst begins in the
// first of them.
func (r *rangeReader) read(ctx context.Context, dst []byte, skipBytes int, refs []PageRef) error {
	for _, ref := range refs {
		n := min(PageBytes-skipBytes, len(dst))
		if err := r.copyPage(ctx, dst[:n], skipBytes, ref); err != nil {
			return err
		}
		dst, skipBytes = dst[n:], 0
	}
	return nil
}

func (r *rangeReader) copyPage(ctx context.Context, dst []byte, skipBytes int, ref PageRef) error {
	switch ref.Kind {
	case PageZero:
		clear(dst)
		return nil
	case PageInFrame:
		raw, err := r.frame(ctx, ref.Frame)
		if err != nil {
			return err
		}
		slotOff := int(ref.Slot) * PageBytes
		if slotOff >= len(raw) {
			return inFile(r.img.path, corruptAt(wholeFile, "slot %d of frame %d, which has %d pages", ref.Slot, ref.Frame, len(raw)/PageBytes))
		}
		copy(dst, raw[slotOff+skipBytes:])
		return nil
	default:
		return inFile(r.img.path, findingAt(ErrParent, wholeFile, "page %d of the parent", ref.ParentPage))
	}
}

func (r *rangeReader) frame(ctx context.Context, frame uint32) ([]byte, error) {
	if raw, ok := r.recent[frame]; ok {
		return raw, nil
	}
	raw, err := r.cache.Frame(ctx, r.img, frame)
	if err != nil {
		return nil, err
	}
	r.recent[frame] = raw
	return raw, nil
}

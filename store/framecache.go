package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// FrameCache keeps decoded frames of any number of images, within a budget of
// bytes, and decodes each frame once however many callers wait for it.
//
// The frames it hands out are shared: nobody may write to them. They are not
// reused when they leave the cache, so a reader may hold one as long as it
// likes.
type FrameCache struct {
	frames *ristretto.Cache[uint64, []byte]

	mu      sync.Mutex
	flights map[uint64]*flight // frames that are being decoded, by cacheKey
}

// flight is a decoding under way. raw and err are set before done is closed.
type flight struct {
	done chan struct{}
	raw  []byte
	err  error
}

// NewFrameCache returns a cache of at most maxBytes of decoded frames. Zero
// keeps nothing beyond the calls that wait for it.
func NewFrameCache(maxBytes int64) (*FrameCache, error) {
	c := &FrameCache{flights: make(map[uint64]*flight)}
	if maxBytes == 0 {
		return c, nil
	}
	const typicalFrameBytes = 16 << 10
	frames, err := ristretto.NewCache(&ristretto.Config[uint64, []byte]{
		MaxCost: maxBytes,
		// ten counters a frame, as ristretto advises
		NumCounters: max(1000, 10*maxBytes/typicalFrameBytes),
		BufferItems: 64,
		Cost:        func(raw []byte) int64 { return int64(len(raw)) },
	})
	if err != nil {
		return nil, fmt.Errorf("creating a cache of %d bytes: %w", maxBytes, err)
	}
	c.frames = frames
	return c, nil
}

// Close drops all frames.
func (c *FrameCache) Close() {
	if c.frames != nil {
		c.frames.Close()
	}
}

func cacheKey(img *Image, frame uint32) uint64 { return uint64(img.cacheID)<<32 | uint64(frame) }

// Lookup returns a frame if it is in the cache.
func (c *FrameCache) Lookup(img *Image, frame uint32) ([]byte, bool) {
	if c.frames == nil {
		return nil, false
	}
	return c.frames.Get(cacheKey(img, frame))
}

// Frame returns the raw bytes of a frame: from the cache, from a decoding
// under way, or by decoding it. The context ends the waiting; a decoding that
// has begun goes on, for others may wait for it.
func (c *FrameCache) Frame(ctx context.Context, img *Image, frame uint32) ([]byte, error) {
	if raw, ok := c.Lookup(img, frame); ok {
		return raw, nil
	}
	key := cacheKey(img, frame)
	c.mu.Lock()
	if f, ok := c.flights[key]; ok {
		c.mu.Unlock()
		return f.wait(ctx)
	}
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	c.mu.Unlock()

	c.decode(context.WithoutCancel(ctx), img, frame, f)
	return f.raw, f.err
}

func (f *flight) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-f.done:
		return f.raw, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// decode fills the flight, offers the frame to the cache and ends the flight.
// The cache may refuse the frame: whoever waited has it from the flight.
func (c *FrameCache) decode(ctx context.Context, img *Image, frame uint32, f *flight) {
	f.raw, f.err = decodeWhole(ctx, img, frame)
	key := cacheKey(img, frame)
	if f.err == nil && c.frames != nil {
		c.frames.Set(key, f.raw, 0)
	}
	c.mu.Lock()
	delete(c.flights, key)
	c.mu.Unlock()
	close(f.done)
}

// decodeWhole decodes a frame into a buffer of its own. It does so by way of a
// scratch buffer: that one has slack, without which decoders are much slower,
// and is in the processor's cache; and a copy costs no more than clearing new
// memory would.
func decodeWhole(ctx context.Context, img *Image, frame uint32) ([]byte, error) {
	entry, err := img.Frame(frame)
	if err != nil {
		return nil, err
	}
	scratch, _ := scratchBufs.Get().(*[]byte)
	defer scratchBufs.Put(scratch)
	raw := (*scratch)[:entry.RawBytes()]
	if err := img.ReadFrame(ctx, entry, raw); err != nil {
		return nil, err
	}
	return append([]byte(nil), raw...), nil
}

// scratchBufs holds buffers (*[]byte) for a decoded frame with slack.
var scratchBufs = sync.Pool{New: newSlackBuf}

// newSlackBuf returns a buffer for the largest frame, packed or raw, with slack
// behind it.
func newSlackBuf() any {
	b := make([]byte, MaxFrameBytes+SlackBytes)
	return &b
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

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

	buffers aheadBuffers
	decoded atomic.Int64 // frames

	mu      sync.Mutex
	flights map[uint64]*flight // frames that are being decoded, by cacheKey; guarded by mu
	// landed are the keys of flights that have ended and are still in the table: what
	// is put into the cache is found there only a moment later. Guarded by mu.
	landed     [landedFlights]uint64
	nextLanded int
}

// landedFlights bounds the frames that are kept beside the cache for a moment.
const landedFlights = 128

// flight is a decoding under way. raw and err are set before done is closed.
type flight struct {
	done    chan struct{}
	raw     []byte
	err     error
	awaited bool // by others than who decodes; guarded by FrameCache.mu

	// ahead says that an AheadReader leads the flight. Then raw is its memory, which
	// others only copy from: readers counts those who may, and none is added once
	// the flight is out of the table.
	ahead   bool
	readers sync.WaitGroup
}

// errAheadFailed ends a flight that was ahead of demand and found no bytes. Who
// waits for it tries by himself: what is reported to a guest is what was found
// when the guest asked.
var errAheadFailed = errors.New("decoding ahead failed")

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

// DecodedFrames is how many frames were decoded, of all images, for whomever.
func (c *FrameCache) DecodedFrames() int64 { return c.decoded.Load() }

// Close drops all frames.
func (c *FrameCache) Close() error {
	if c.frames != nil {
		c.frames.Close()
	}
	return c.buffers.close()
}

// cacheKey names a frame of any open image: children of one parent share its frames.
func cacheKey(img *Image, frame uint32) uint64 {
	layer, local := img.layerOf(frame)
	return uint64(layer.cacheID)<<32 | uint64(uint32(local))
}

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
	raw, fresh, _, err := c.frameFirst(ctx, img, frame)
	if fresh != nil {
		raw = fresh.keep()
	}
	return raw, err
}

// freshFrame is a frame that its caller has decoded himself. The bytes are in a
// scratch buffer, which has slack, without which decoders are much slower, and
// is in the processor's cache. The caller must end it by keep or drop when it
// has done with the bytes; others who need the frame wait until then.
type freshFrame struct {
	cache  *FrameCache
	key    uint64
	flight *flight
	use    *frameUse // what is needed of it

	scratch *[]byte
	raw     []byte // in scratch
	err     error  // why there is no raw
}

// keep puts a copy of the frame into the cache and returns it.
func (d *freshFrame) keep() []byte {
	own := append([]byte(nil), d.raw...)
	scratchBufs.Put(d.scratch)
	d.cache.land(d.key, d.flight, own, nil)
	return own
}

// drop forgets the frame, unless somebody waits for it.
func (d *freshFrame) drop() {
	if d.cache.leave(d.key, d.flight) {
		scratchBufs.Put(d.scratch)
		return
	}
	d.keep()
}

// fail ends the flight of a frame that could not be decoded.
func (d *freshFrame) fail() {
	scratchBufs.Put(d.scratch)
	d.cache.land(d.key, d.flight, nil, d.err)
}

// frameFirst is Frame for a caller in a hurry: if it decoded the frame itself,
// fresh is not nil.
func (c *FrameCache) frameFirst(ctx context.Context, img *Image, frame uint32) (raw []byte, fresh *freshFrame, source Source, err error) {
	if cached, ok := c.Lookup(img, frame); ok {
		return cached, nil, FromCache, nil
	}
	for {
		f, leads := c.join(cacheKey(img, frame), false)
		if leads {
			raw, fresh, err = c.lead(ctx, img, frame, f)
			return raw, fresh, FromDecode, err
		}
		source = f.source()
		if raw, err = f.wait(ctx); !errors.Is(err, errAheadFailed) {
			return raw, nil, source, err
		}
	}
}

// lead decodes a frame whose flight the caller leads.
func (c *FrameCache) lead(ctx context.Context, img *Image, frame uint32, f *flight) ([]byte, *freshFrame, error) {
	led := [1]freshFrame{{cache: c, key: cacheKey(img, frame), flight: f, use: &frameUse{frame: frame}}}
	img.decodeFresh(ctx, led[:])
	fresh := &led[0]
	if fresh.err != nil {
		fresh.fail()
		return nil, nil, fresh.err
	}
	return fresh.raw, fresh, nil
}

// source is where the bytes of who has just joined the flight come from.
func (f *flight) source() Source {
	if f.ahead {
		return FromAhead
	}
	select {
	case <-f.done:
		return FromCache
	default:
		return FromDecode
	}
}

// join returns the flight of a frame and whether the caller is to decode it;
// ahead says that he does so before anybody asked.
func (c *FrameCache) join(key uint64, ahead bool) (f *flight, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if under, ok := c.flights[key]; ok {
		under.awaited = true
		under.readers.Add(1)
		return under, false
	}
	f = &flight{done: make(chan struct{}), ahead: ahead}
	c.flights[key] = f
	return f, true
}

// leave ends a flight for which nobody waits, and reports whether it did.
func (c *FrameCache) leave(key uint64, f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.awaited {
		return false
	}
	delete(c.flights, key)
	return true
}

// wait returns the frame of a flight that was joined; it is called once for each
// joining.
func (f *flight) wait(ctx context.Context) ([]byte, error) {
	defer f.readers.Done()
	select {
	case <-f.done:
		if f.ahead {
			return slices.Clone(f.raw), f.err
		}
		return f.raw, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// land ends a flight: it offers the frame to the cache, which may refuse it, and
// hands it to those who wait.
func (c *FrameCache) land(key uint64, f *flight, raw []byte, err error) {
	f.raw, f.err = raw, err
	c.mu.Lock()
	if err == nil && c.frames != nil {
		c.frames.Set(key, raw, 0)
		c.retireLater(key)
	} else {
		delete(c.flights, key)
	}
	c.mu.Unlock()
	close(f.done)
}

// retireLater takes a flight that has landed out of the table when enough others
// have. It runs with mu held.
func (c *FrameCache) retireLater(key uint64) {
	oldest := &c.landed[c.nextLanded%landedFlights]
	if c.nextLanded >= landedFlights {
		delete(c.flights, *oldest)
	}
	*oldest = key
	c.nextLanded++
}

// decodeFresh decodes frames whose flights the caller leads, to the end: others
// may wait for them.
func (img *Image) decodeFresh(ctx context.Context, frames []freshFrame) {
	reads := make([]frameRead, 0, len(frames))
	for i := range frames {
		d := &frames[i]
		d.scratch, _ = scratchBufs.Get().(*[]byte)
		var entry FrameEntry
		if entry, d.err = img.Frame(d.use.frame); d.err == nil {
			d.raw = (*d.scratch)[:entry.RawBytes()]
			reads = append(reads, frameRead{entry: entry, dst: d.raw})
		}
	}
	img.readFrames(context.WithoutCancel(ctx), reads)
	next := 0
	for i := range frames {
		if frames[i].err == nil {
			frames[i].err = reads[next].err
			next++
		}
		if frames[i].err == nil {
			frames[i].cache.decoded.Add(1)
		}
	}
}

// scratchBufs holds buffers (*[]byte) for a decoded frame with slack.
var scratchBufs = sync.Pool{New: newSlackBuf}

// newSlackBuf returns a buffer for the largest frame, packed or raw, with slack
// behind it.
func newSlackBuf() any {
	b := make([]byte, MaxFrameBytes+SlackBytes)
	return &b
}

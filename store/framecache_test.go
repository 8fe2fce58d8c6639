package store

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sabrefs/iaa"
	"sabrefs/tests/seedtest"
)

// countingEngine counts the frames it decodes, and may hold them up or fail.
type countingEngine struct {
	iaa.Engine
	decoded atomic.Int64
	hold    chan struct{} // if not nil, decoding waits until it is closed
	fail    atomic.Bool
}

var errEngine = errors.New("injected engine failure")

func (e *countingEngine) Decompress(ctx context.Context, jobs []iaa.Job) error {
	e.decoded.Add(int64(len(jobs)))
	if e.hold != nil {
		<-e.hold
	}
	if e.fail.Load() {
		return errEngine
	}
	return e.Engine.Decompress(ctx, jobs)
}

// textMemory is memory of which every page compresses and none is like another.
func textMemory(pages int) []byte {
	r := seedtest.Fixed(7)
	raw := make([]byte, pages*PageBytes)
	fillText(r, raw)
	for i := range pages {
		raw[i*PageBytes] = byte(i)
		raw[i*PageBytes+1] = byte(i >> 8)
	}
	return raw
}

// packDeflated packs memory in frames of a page each.
func packDeflated(t *testing.T, raw []byte) string {
	t.Helper()
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecDeflate, FramePages: 1})
	return path
}

// openDeflated packs memory and opens it with engine.
func openDeflated(t *testing.T, raw []byte, engine iaa.Engine) *Image {
	t.Helper()
	return openWith(t, packDeflated(t, raw), engine)
}

func openWith(t *testing.T, path string, engine iaa.Engine) *Image {
	t.Helper()
	img, err := Open(path, OpenOptions{Engine: engine})
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, img.Close()) })
	return img
}

// TestFrameIsDecodedOnce lets many callers wait for one frame; synctest tells
// when all of them wait.
func TestFrameIsDecodedOnce(t *testing.T) {
	raw := textMemory(2)
	engine := &countingEngine{Engine: iaa.Software()}
	path := packDeflated(t, raw)
	synctest.Test(t, func(t *testing.T) {
		img := openWith(t, path, engine) // in the bubble, as all that waits
		engine.hold = make(chan struct{})
		cache := newCache(t, 0)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				got, err := cache.Frame(t.Context(), img, 1)
				if err != nil || string(got) != string(raw[PageBytes:]) {
					t.Errorf("frame of %d bytes, %v", len(got), err)
				}
			})
		}
		synctest.Wait()
		wantEqual(t, "decodings under way", engine.decoded.Load(), 1)
		close(engine.hold)
		callers.Wait()
		wantEqual(t, "decodings", engine.decoded.Load(), 1)
		wantEqual(t, "flights left", len(cache.flights), 0)
	})
}

// TestWaiterGivesUp ends the context of one of those who wait: it leaves, and
// the decoding goes on for the others.
func TestWaiterGivesUp(t *testing.T) {
	raw := textMemory(1)
	engine := &countingEngine{Engine: iaa.Software()}
	path := packDeflated(t, raw)
	synctest.Test(t, func(t *testing.T) {
		img := openWith(t, path, engine) // in the bubble, as all that waits
		engine.hold = make(chan struct{})
		cache := newCache(t, 0)
		firstCtx, cancelFirst := context.WithCancel(t.Context())
		waiterCtx, cancelWaiter := context.WithCancel(t.Context())
		defer cancelWaiter()
		first, waiter := make(chan error, 1), make(chan error, 1)
		go func() { _, err := cache.Frame(firstCtx, img, 0); first <- err }()
		synctest.Wait()
		go func() { _, err := cache.Frame(waiterCtx, img, 0); waiter <- err }()
		synctest.Wait()
		cancelWaiter()
		wantClass(t, <-waiter, context.Canceled)
		cancelFirst() // others may wait for what it began
		synctest.Wait()
		close(engine.hold)
		wantNoError(t, <-first)
		wantEqual(t, "decodings", engine.decoded.Load(), 1)
	})
}

func TestCachedFrameIsNotDecodedAgain(t *testing.T) {
	raw := textMemory(8)
	engine := &countingEngine{Engine: iaa.Software()}
	img := openDeflated(t, raw, engine)
	cache := newCache(t, 1<<20)
	for range 3 {
		for frame := range uint32(8) {
			got, err := cache.Frame(t.Context(), img, frame)
			wantNoError(t, err)
			wantBytes(t, "frame", got, raw[frame*PageBytes:][:PageBytes])
		}
		cache.frames.Wait()
	}
	wantEqual(t, "decodings", engine.decoded.Load(), 8)
}

// TestCacheTellsImagesApart checks frames of one number of two images.
func TestCacheTellsImagesApart(t *testing.T) {
	cache := newCache(t, 1<<20)
	for fill := range byte(3) {
		raw := make([]byte, PageBytes)
		for i := range raw {
			raw[i] = fill + 1
		}
		img := openDeflated(t, raw, nil)
		for range 2 {
			got, err := cache.Frame(t.Context(), img, 0)
			wantNoError(t, err)
			wantBytes(t, "frame", got, raw)
			cache.frames.Wait()
		}
	}
}

func TestCacheKeepsItsBudget(t *testing.T) {
	const budgetPages = 10
	img := openDeflated(t, textMemory(200), nil)
	cache := newCache(t, budgetPages*PageBytes)
	kept := func() (n int) {
		cache.frames.Wait()
		for frame := range uint32(200) {
			if _, ok := cache.Lookup(img, frame); ok {
				n++
			}
		}
		return n
	}
	for frame := range uint32(200) {
		_, err := cache.Frame(t.Context(), img, frame)
		wantNoError(t, err)
		if frame%20 == 0 {
			if n := kept(); n > budgetPages {
				t.Fatalf("%d frames are kept in room for %d", n, budgetPages)
			}
		}
	}
	if n := kept(); n == 0 || n > budgetPages {
		t.Fatalf("%d frames are kept in room for %d", n, budgetPages)
	}
}

func TestErrorsAreNotCached(t *testing.T) {
	raw := textMemory(1)
	engine := &countingEngine{Engine: iaa.Software()}
	img := openDeflated(t, raw, engine)
	cache := newCache(t, 1<<20)
	engine.fail.Store(true)
	for range 2 {
		_, err := cache.Frame(t.Context(), img, 0)
		wantEqual(t, "failure is reported", err != nil, true)
	}
	engine.fail.Store(false)
	got, err := cache.Frame(t.Context(), img, 0)
	wantNoError(t, err)
	wantBytes(t, "frame", got, raw)
	wantEqual(t, "decodings", engine.decoded.Load(), 3)
}

func TestCacheWithoutBudget(t *testing.T) {
	img := openDeflated(t, textMemory(1), nil)
	cache := newCache(t, 0)
	_, err := cache.Frame(t.Context(), img, 0)
	wantNoError(t, err)
	_, ok := cache.Lookup(img, 0)
	wantEqual(t, "a cache of zero bytes keeps a frame", ok, false)
	_, err = cache.Frame(t.Context(), img, 1)
	wantClass(t, err, ErrCorrupt)
}

// TestReadAtRanges reads at every kind of offset and length and compares with
// the raw bytes, through one cache from several goroutines.
func TestReadAtRanges(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 600*PageBytes+1234)
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecLZ4, Level: LevelFast, FramePages: 8})
	img, cache := openImage(t, path), newCache(t, 20*PageBytes)
	var readers sync.WaitGroup
	for range 4 {
		ranges := seedtest.Fixed(r.Uint64())
		readers.Go(func() {
			for range 200 {
				rawOff := ranges.Int64N(int64(len(raw)))
				dst := make([]byte, ranges.IntN(20*PageBytes))
				n, err := cache.ReadAt(t.Context(), img, dst, rawOff)
				want := raw[rawOff:min(rawOff+int64(len(dst)), int64(len(raw)))]
				if string(dst[:n]) != string(want) || (err != nil) != (n < len(dst)) || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("read of %d bytes at %d: %d bytes, %v", len(dst), rawOff, n, err)
				}
			}
		})
	}
	readers.Wait()
}

func TestReadAtEnds(t *testing.T) {
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t)))
	cache := newCache(t, 1<<20)
	for _, c := range []struct {
		lenBytes int
		rawOff   int64
		n        int
		err      error
	}{
		{0, 0, 0, nil}, {1, 0, 1, nil}, {100, 7 * PageBytes, 100, nil}, {101, 7 * PageBytes, 100, io.EOF},
		{1, goldenRawBytes, 0, io.EOF}, {0, goldenRawBytes, 0, io.EOF}, {1, 1 << 60, 0, io.EOF}, {1, -1, 0, ErrOption},
		{2, goldenRawBytes - 1, 1, io.EOF},
	} {
		n, err := cache.ReadAt(t.Context(), img, make([]byte, c.lenBytes), c.rawOff)
		wantEqual(t, "bytes read", n, c.n)
		wantEqual(t, "error", errors.Is(err, c.err), true)
	}
}

// TestReadFrameHonoursTheContext checks that the end of a request is not
// reported as damage.
func TestReadFrameHonoursTheContext(t *testing.T) {
	img := openDeflated(t, textMemory(1), nil)
	entry, err := img.Frame(0)
	wantNoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = img.ReadFrame(ctx, entry, make([]byte, PageBytes))
	wantClass(t, err, context.Canceled)
	wantEqual(t, "it is damage", errors.Is(err, ErrCorrupt), false)
}

package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
	"sabrefs/tests/seedtest"
)

// frameNumbers lists all frames of an image.
func frameNumbers(img *Image) []uint32 {
	numbers := make([]uint32, img.Header().FrameCount)
	for i := range numbers {
		numbers[i] = uint32(i)
	}
	return numbers
}

func newAheadReader(t *testing.T, cache *FrameCache, img *Image) *AheadReader {
	t.Helper()
	reader, err := cache.NewAheadReader(img)
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, reader.Close()) })
	return reader
}

// TestAheadFramesAreThoseOfDemand reads random groups of frames, in any order, with
// the packed bytes in the page cache and without.
func TestAheadFramesAreThoseOfDemand(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 6<<20+123)
	for _, codec := range []Codec{CodecDeflate, CodecZstd, CodecLZ4, CodecRaw} {
		path, _ := packBytes(t, raw, PackOptions{Codec: codec, Raw: codec == CodecRaw})
		img := openWith(t, path, nil)
		cache := newCache(t, 0)
		reader := newAheadReader(t, cache, img)
		for range 20 {
			frames := frameNumbers(img)
			r.Shuffle(len(frames), func(i, k int) { frames[i], frames[k] = frames[k], frames[i] })
			frames = frames[:r.IntN(min(len(frames), 40))]
			if r.IntN(2) == 0 {
				forget(t, path)
			}
			got, err := reader.Decode(t.Context(), frames)
			wantNoError(t, err)
			for i, frame := range frames {
				want, err := cache.Frame(t.Context(), img, frame)
				wantNoError(t, err)
				wantNoError(t, got[i].Err)
				if got[i].Frame != frame || !bytes.Equal(got[i].Raw, want) {
					t.Fatalf("%v: frame %d differs", codec, frame)
				}
			}
			reader.Release()
		}
		if len(cache.flights) != 0 {
			t.Errorf("%v: %d flights are left", codec, len(cache.flights))
		}
	}
}

// forget drops a file from the page cache.
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	wantNoError(t, err)
	wantNoError(t, f.Sync())
	wantNoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	wantNoError(t, f.Close())
}

// TestDemandUsesWhatIsDecodedAhead: a frame that an AheadReader has is not decoded
// for demand, whether that comes while it is decoded or before Release.
func TestDemandUsesWhatIsDecodedAhead(t *testing.T) {
	const pages = 4
	raw := textMemory(pages)
	path := packDeflated(t, raw)
	synctest.Test(t, func(t *testing.T) {
		engine := &countingEngine{Engine: iaa.Software()}
		img := openWith(t, path, engine)
		engine.hold = make(chan struct{})
		cache := newCache(t, 0)
		reader := newAheadReader(t, cache, img)
		read := func(page int) {
			page0 := make([]byte, PageBytes)
			served, err := cache.ReadFirst(t.Context(), img, page0, int64(page)*PageBytes)
			if err != nil || served.Source != FromAhead || !bytes.Equal(page0, raw[page*PageBytes:][:PageBytes]) {
				t.Errorf("page %d: source %d, %v", page, served.Source, err)
			}
			if served.Keep != nil {
				served.Keep()
			}
		}
		var demand, ahead sync.WaitGroup
		ahead.Go(func() {
			_, err := reader.Decode(t.Context(), []uint32{0, 1, 2, 3})
			wantNoError(t, err)
		})
		synctest.Wait()
		for page := range pages {
			demand.Go(func() { read(page) })
		}
		synctest.Wait()
		close(engine.hold)
		demand.Wait()
		ahead.Wait()
		read(2)
		reader.Release() // nobody copies any more, or it would wait
		if n := engine.decoded.Load(); n != pages {
			t.Errorf("%d frames were decoded, want %d", n, pages)
		}
	})
}

// TestDemandKeepsWhatItGotAhead: the memory of the reader is used again, what others
// have of a frame is theirs.
func TestDemandKeepsWhatItGotAhead(t *testing.T) {
	raw := textMemory(3)
	img := openDeflated(t, raw, iaa.Software())
	cache := newCache(t, 0)
	reader := newAheadReader(t, cache, img)
	_, err := reader.Decode(t.Context(), []uint32{0})
	wantNoError(t, err)
	got, err := cache.Frame(t.Context(), img, 0)
	wantNoError(t, err)
	reader.Release()
	for _, other := range []uint32{1, 2} {
		_, err := reader.Decode(t.Context(), []uint32{other})
		wantNoError(t, err)
		reader.Release()
	}
	if !bytes.Equal(got, raw[:PageBytes]) {
		t.Error("a frame changed after it was handed out")
	}
}

// TestAheadPieces: frames that follow one another in memory are one piece, and what
// there is no room for is decoded elsewhere.
func TestAheadPieces(t *testing.T) {
	raw := textMemory(3 * AheadBatchBytes / PageBytes)
	for _, codec := range []Codec{CodecLZ4, CodecDeflate} {
		path, _ := packBytes(t, raw, PackOptions{Codec: codec, FramePages: 16})
		img := openWith(t, path, nil)
		reader := newAheadReader(t, newCache(t, 0), img)
		frames, err := reader.Decode(t.Context(), frameNumbers(img))
		wantNoError(t, err)
		elsewhere := 0
		for i, f := range frames {
			wantNoError(t, f.Err)
			want := raw[i*16*PageBytes:][:len(f.Raw)]
			if !bytes.Equal(f.Raw, want) {
				t.Fatalf("%v: frame %d differs", codec, i)
			}
			if f.At < 0 {
				elsewhere++
			} else if !bytes.Equal(reader.Piece(f.At, len(f.Raw)), want) {
				t.Fatalf("%v: frame %d is not where it should be", codec, i)
			}
		}
		if elsewhere == 0 || elsewhere > len(frames)*2/3 {
			t.Errorf("%v: %d of %d frames are elsewhere", codec, elsewhere, len(frames))
		}
		if frames[1].At != frames[0].At+len(frames[0].Raw) {
			t.Errorf("%v: frames are at %d and %d", codec, frames[0].At, frames[1].At)
		}
		reader.Release()
	}
}

// TestDemandTriesWhatFailedAhead: what is wrong with a frame is found by who asks
// for it.
func TestDemandTriesWhatFailedAhead(t *testing.T) {
	path := packDeflated(t, textMemory(2))
	synctest.Test(t, func(t *testing.T) {
		engine := &countingEngine{Engine: iaa.Software()}
		engine.fail.Store(true)
		img := openWith(t, path, engine)
		engine.hold = make(chan struct{})
		cache := newCache(t, 0)
		reader := newAheadReader(t, cache, img)
		var both sync.WaitGroup
		both.Go(func() {
			frames, err := reader.Decode(t.Context(), []uint32{0, 1})
			wantNoError(t, err)
			for _, f := range frames {
				if !errors.Is(f.Err, errEngine) || f.Raw != nil {
					t.Errorf("frame %d: %v", f.Frame, f.Err)
				}
			}
			engine.fail.Store(false)
			reader.Release()
		})
		both.Go(func() {
			_, err := cache.Frame(t.Context(), img, 1)
			if err != nil && !errors.Is(err, errEngine) { // its own try may fail as well
				t.Error(err)
			}
		})
		synctest.Wait()
		close(engine.hold)
		both.Wait()
		_, err := cache.Frame(t.Context(), img, 1)
		wantNoError(t, err)
	})
}

// TestAheadReadsWhatItCan: damage costs the frame that it hits, and no other; of a
// file that was truncated, tables included, nothing is left.
func TestAheadReadsWhatItCan(t *testing.T) {
	raw := textMemory(64)
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecLZ4, FramePages: 1})
	img := openWith(t, path, nil)
	hit, err := img.Frame(3)
	wantNoError(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	wantNoError(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, hit.PackedLen), hit.PackedOff)
	wantNoError(t, errors.Join(err, f.Close()))
	cache := newCache(t, 0)
	reader := newAheadReader(t, cache, img)
	frames, err := reader.Decode(t.Context(), frameNumbers(img))
	wantNoError(t, err)
	for i, frame := range frames {
		if bad := errors.Is(frame.Err, ErrCorrupt); bad != (i == 3) {
			t.Errorf("frame %d: %v", i, frame.Err)
		}
	}
	reader.Release()
	wantNoError(t, os.Truncate(path, hit.PackedOff))
	frames, err = reader.Decode(t.Context(), frameNumbers(img))
	wantNoError(t, err)
	defer reader.Release()
	for i, frame := range frames {
		if !errors.Is(frame.Err, ErrTruncated) {
			t.Errorf("frame %d: %v", i, frame.Err)
		}
	}
}

// TestAheadHonoursTheContext: who gives up waiting for others leaves nothing.
func TestAheadHonoursTheContext(t *testing.T) {
	path := packDeflated(t, textMemory(2))
	synctest.Test(t, func(t *testing.T) {
		engine := &countingEngine{Engine: iaa.Software()}
		img := openWith(t, path, engine)
		engine.hold = make(chan struct{})
		cache := newCache(t, 0)
		var demand sync.WaitGroup
		demand.Go(func() {
			_, err := cache.Frame(t.Context(), img, 1)
			wantNoError(t, err)
		})
		synctest.Wait()
		reader := newAheadReader(t, cache, img)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { _, err := reader.Decode(ctx, []uint32{1}); gaveUp <- err }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("gave up with %v", err)
		}
		reader.Release()
		close(engine.hold)
		demand.Wait()
		if len(cache.flights) != 0 {
			t.Error("a flight is left")
		}
	})
}

package store

import "context"

// imageSource reads the memory file that an image holds, as packing reads a raw
// one: unpack and verify are thus the same walk as pack.
type imageSource struct {
	img   *Image
	cache *FrameCache
	ctx   context.Context //nolint:containedctx // io.ReaderAt has no context; the source lives as long as one call
}

// sourceCacheBytes is enough to find most duplicate pages in a frame that is
// still there; without it each of them would decode a frame.
const sourceCacheBytes = 64 << 20

func newImageSource(ctx context.Context, img *Image) (*imageSource, error) {
	cache, err := NewFrameCache(sourceCacheBytes)
	if err != nil {
		return nil, err
	}
	return &imageSource{img: img, cache: cache, ctx: ctx}, nil
}

func (s *imageSource) name() string    { return s.img.path }
func (s *imageSource) rawBytes() int64 { return s.img.header.RawBytes }

func (s *imageSource) nextData(rawOff int64) (int64, error) { return s.img.NextData(rawOff) }
func (s *imageSource) nextHole(rawOff int64) (int64, error) { return s.img.NextHole(rawOff) }

// ReadAt implements io.ReaderAt.
func (s *imageSource) ReadAt(dst []byte, rawOff int64) (int, error) {
	return s.cache.ReadAt(s.ctx, s.img, dst, rawOff)
}

// unchanged always succeeds: what is read of an image is checked as it is read.
func (s *imageSource) unchanged() error { return nil }

// Close drops the cache; the image stays open.
func (s *imageSource) Close() error {
	return s.cache.Close()
}

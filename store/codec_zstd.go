package store

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"sabrefs/store/densezstd"
)

// newZstdEncoder returns the encoder for a level. The fast level is klauspost's,
// whose encoder has nothing as dense as the levels above it.
func newZstdEncoder(level Level, maxBytes int) (encoder, error) {
	switch level {
	case LevelFast:
		return newFastZstdEncoder(maxBytes)
	case LevelDefault:
		return newDenseZstdEncoder(densezstd.LevelDefault, maxBytes)
	case LevelBetter:
		return newDenseZstdEncoder(densezstd.LevelBetter, maxBytes)
	case LevelBest:
		return newDenseZstdEncoder(densezstd.LevelBest, maxBytes)
	default:
		return nil, fmt.Errorf("%w: zstd has no level %v", ErrOption, level)
	}
}

type fastZstdEncoder struct{ enc *zstd.Encoder }

// newFastZstdEncoder returns an encoder whose window covers a whole frame, and
// no more: larger windows would only cost memory.
func newFastZstdEncoder(maxBytes int) (encoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(max(zstd.MinWindowSize, maxBytes)))
	if err != nil {
		return nil, fmt.Errorf("creating a zstd encoder: %w", err)
	}
	return fastZstdEncoder{enc}, nil
}

func (e fastZstdEncoder) encode(dst, src []byte) (encoded, error) {
	// A frame that does not shrink may outgrow dst; EncodeAll then moves to a
	// buffer of its own, which is dropped.
	out := e.enc.EncodeAll(src, dst[:0])
	return encodedIn(len(out), len(src)), nil
}

type denseZstdEncoder struct{ enc *densezstd.Encoder }

func newDenseZstdEncoder(level densezstd.Level, maxBytes int) (encoder, error) {
	enc, err := densezstd.NewEncoder(level, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("creating a zstd encoder: %w", err)
	}
	return denseZstdEncoder{enc}, nil
}

func (e denseZstdEncoder) encode(dst, src []byte) (encoded, error) {
	out, err := e.enc.Encode(dst[:0], src)
	return encodedIn(len(out), len(src)), err
}

// sharedZstdDecoder is the one decoder of the process: it keeps a decoding
// state per core, which thousands of open images should not multiply. What a
// stream claims of its size cannot make it allocate: the output is bounded by
// the buffer it is given, the window by the largest frame.
var sharedZstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxFrameBytes), zstd.WithDecoderMaxWindow(MaxFrameBytes), zstd.IgnoreChecksum(true))
})

func decodeZstd(dst, packed []byte) error {
	dec, err := sharedZstdDecoder()
	if err != nil {
		return fmt.Errorf("creating a zstd decoder: %w", err)
	}
	// With room behind the output the decoder copies whole words without
	// counting; without, the guest's frames took 1.7 times as long.
	room := min(cap(dst), len(dst)+SlackBytes)
	out, err := dec.DecodeAll(packed, dst[:0:room])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("zstd: %d bytes, expected %d", len(out), len(dst))
	}
	return nil
}

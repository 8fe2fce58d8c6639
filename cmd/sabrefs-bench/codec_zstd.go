package main

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"sabrefs/iaa"
	"sabrefs/store"
	"sabrefs/store/densezstd"
)

// zstdStreams are what `sabrefs pack` may use. The best level takes too long to
// be tried at every size of frames.
var zstdStreams = []struct {
	level      store.Level
	frameBytes []int
}{
	{store.LevelFast, []int{4 * kib, 16 * kib, 64 * kib}},
	{store.LevelDefault, []int{4 * kib, 16 * kib, 64 * kib}},
	{store.LevelBetter, []int{16 * kib, 64 * kib}},
	{store.LevelBest, []int{128 * kib}},
}

// addZstd enters the encoders of the store, each of which has its own levels, with
// the decoder of the store and its settings.
func (b *codecBench) addZstd() error {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxFrameBytes), zstd.WithDecoderMaxWindow(maxFrameBytes), zstd.IgnoreChecksum(true))
	if err != nil {
		return fmt.Errorf("creating a zstd decoder: %w", err)
	}
	for _, set := range zstdStreams {
		for _, frameBytes := range set.frameBytes {
			name, encoder, err := newZstdEncode(set.level, frameBytes)
			if err != nil {
				return err
			}
			s := b.addStream(partZstd, name, int(set.level), frameBytes, encoder)
			b.addContender(s, nameKlauspost, decodeByZstd(decoder))
		}
	}
	return nil
}

func newZstdEncode(level store.Level, frameBytes int) (name string, _ encode, err error) {
	if level == store.LevelFast {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(max(zstd.MinWindowSize, frameBytes)))
		if err != nil {
			return "", nil, fmt.Errorf("creating a zstd encoder: %w", err)
		}
		return nameKlauspost, encodeAppending(func(dst, src []byte) ([]byte, error) { return enc.EncodeAll(src, dst), nil }), nil
	}
	dense := map[store.Level]densezstd.Level{
		store.LevelDefault: densezstd.LevelDefault, store.LevelBetter: densezstd.LevelBetter, store.LevelBest: densezstd.LevelBest,
	}
	enc, err := densezstd.NewEncoder(dense[level], frameBytes)
	if err != nil {
		return "", nil, fmt.Errorf("creating a zstd encoder: %w", err)
	}
	return "densezstd", encodeAppending(enc.Encode), nil
}

// encodeAppending is for encoders that append, and grow what they append to.
func encodeAppending(appendTo func(dst, src []byte) ([]byte, error)) encode {
	return func(dst, src []byte) (int, error) {
		out, err := appendTo(dst[:0:len(dst)], src)
		if err != nil || len(out) > len(dst) {
			return 0, err
		}
		return len(out), nil
	}
}

var errLength = errors.New("decodes to another length")

func decodeByZstd(decoder *zstd.Decoder) decode {
	return func(dst []byte, f *packedFrame) error {
		out, err := decoder.DecodeAll(f.data, dst[:0:len(dst)+iaa.SlackBytes])
		if err != nil {
			return err
		}
		if len(out) != len(dst) {
			return errLength
		}
		return nil
	}
}

package store

import (
	"errors"
	"fmt"

	"github.com/pierrec/lz4/v4"
)

type lz4Encoder struct {
	fast *lz4.Compressor
	hc   *lz4.CompressorHC
}

// newLZ4Encoder returns the fast compressor for LevelFast and the HC one,
// deeper with each level, above it.
func newLZ4Encoder(level Level) lz4Encoder {
	switch level {
	case LevelFast:
		return lz4Encoder{fast: &lz4.Compressor{}}
	case LevelBetter:
		return lz4Encoder{hc: &lz4.CompressorHC{Level: lz4.Level7}}
	case LevelBest:
		return lz4Encoder{hc: &lz4.CompressorHC{Level: lz4.Level9}}
	default:
		return lz4Encoder{hc: &lz4.CompressorHC{Level: lz4.Level5}}
	}
}

func (e lz4Encoder) encode(dst, src []byte) (encoded, error) {
	n, err := e.compress(src, dst[:len(src)-1])
	if errors.Is(err, lz4.ErrInvalidSourceShortBuffer) {
		return encoded{}, nil // what the HC compressor says when dst is too short
	}
	if err != nil {
		return encoded{}, fmt.Errorf("lz4: %w", err)
	}
	return encodedIn(n, len(src)), nil // zero: the block does not fit, hence does not shrink
}

func (e lz4Encoder) compress(src, dst []byte) (int, error) {
	if e.fast != nil {
		return e.fast.CompressBlock(src, dst)
	}
	return e.hc.CompressBlock(src, dst)
}

func decodeLZ4(dst, packed []byte) error {
	n, err := lz4.UncompressBlock(packed, dst)
	if err != nil {
		return fmt.Errorf("lz4: %w", err)
	}
	if n != len(dst) {
		return fmt.Errorf("lz4: %d bytes, expected %d", n, len(dst))
	}
	return nil
}

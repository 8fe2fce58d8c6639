package main

import (
	"errors"

	"github.com/pierrec/lz4/v4"

	"sabrefs/store"
)

// lz4Levels are those of `sabrefs pack`.
var lz4Levels = []struct {
	level store.Level
	hc    lz4.CompressionLevel // Fast: the fast compressor
}{{store.LevelFast, lz4.Fast}, {store.LevelDefault, lz4.Level5}, {store.LevelBetter, lz4.Level7}, {store.LevelBest, lz4.Level9}}

func (b *codecBench) addLZ4() {
	const name = "pierrec"
	for _, frameBytes := range []int{4 * kib, 16 * kib, 64 * kib} {
		for _, level := range lz4Levels {
			s := b.addStream(partLZ4, name, int(level.level), frameBytes, encodeByLZ4(level.hc))
			b.addContender(s, name, decodeByLZ4)
		}
	}
}

func encodeByLZ4(level lz4.CompressionLevel) encode {
	var fast lz4.Compressor
	hc := lz4.CompressorHC{Level: level}
	compress := hc.CompressBlock
	if level == lz4.Fast {
		compress = fast.CompressBlock
	}
	return func(dst, src []byte) (int, error) {
		n, err := compress(src, dst)
		if errors.Is(err, lz4.ErrInvalidSourceShortBuffer) {
			return 0, nil // it does not fit
		}
		return n, err
	}
}

func decodeByLZ4(dst []byte, f *packedFrame) error {
	n, err := lz4.UncompressBlock(f.data, dst)
	if err == nil && n != len(dst) {
		return errLength
	}
	return err
}

// addCopy enters copying, which nothing can be faster than: frames that are not
// compressed.
func (b *codecBench) addCopy() {
	for _, frameBytes := range []int{4 * kib, 16 * kib, 64 * kib} {
		b.addContender(b.addStream(partRaw, nameCopy, 0, frameBytes, encodeByCopying), nameCopy, decodeByCopying)
	}
}

const nameCopy = "memcpy"

func encodeByCopying(dst, src []byte) (int, error) {
	copy(dst, src) // all but a byte, so that it takes its time
	return 0, nil
}

func decodeByCopying(dst []byte, f *packedFrame) error {
	if copy(dst, f.data) != len(dst) {
		return errLength
	}
	return nil
}

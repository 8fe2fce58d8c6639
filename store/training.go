package store

import (
	"context"
	"errors"
	"io"

	"sabrefs/iaa"
	"sabrefs/iaa/deflate"
	"sabrefs/iaa/huffman"
)

const (
	// NoSharedTables is for PackOptions.SharedTables.
	NoSharedTables = -1

	// defaultSharedTables are enough: more of them gain less than a percent.
	defaultSharedTables = 16
	// sharedTablesFrames is the largest frame, in pages, that shares tables by
	// default: an image of such frames becomes smaller, too. Larger ones would
	// lose a percent, and building a table is less of their decoding.
	sharedTablesFrames = 1
	// sampleBytes of the memory file are looked at for training.
	sampleBytes = 4 << 20
)

// trainTables makes shared tables that suit the source. It returns none if there
// is nothing to train with.
func trainTables(ctx context.Context, src memorySource, opt PackOptions) ([]huffman.Lengths, error) {
	if !opt.deflates() || opt.SharedTables <= 0 {
		return nil, nil
	}
	samples, err := sampleFrames(ctx, src, opt.deflatePages())
	if err != nil {
		return nil, err
	}
	// What a denser level would find in the samples makes no difference.
	return deflate.Train(ctx, samples, iaa.DefaultLevel, opt.SharedTables)
}

// sampleFrames reads frames that are evenly spread over the data of the source.
// Zero pages are left out, as in frames.
func sampleFrames(ctx context.Context, src memorySource, framePages int) ([][]byte, error) {
	frameBytes := framePages * PageBytes
	count := int64(sampleBytes / frameBytes)
	pageCount := pagesOf(src.rawBytes())
	var samples [][]byte
	for i := range count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rawOff, err := src.nextData(i * pageCount / count * PageBytes)
		if err != nil {
			return nil, err
		}
		frame, err := sampleFrame(src, rawOff, frameBytes)
		if err != nil {
			return nil, err
		}
		if len(frame) > 0 {
			samples = append(samples, frame)
		}
	}
	return samples, nil
}

// sampleFrame reads the pages at rawOff that are not zero.
func sampleFrame(src memorySource, rawOff int64, frameBytes int) ([]byte, error) {
	raw := make([]byte, frameBytes)
	n, err := src.ReadAt(raw, rawOff/PageBytes*PageBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	raw = raw[:n/PageBytes*PageBytes]
	frame := raw[:0]
	for len(raw) > 0 {
		page := raw[:PageBytes]
		raw = raw[PageBytes:]
		if !isZero(page) {
			frame = append(frame, page...)
		}
	}
	return frame, nil
}

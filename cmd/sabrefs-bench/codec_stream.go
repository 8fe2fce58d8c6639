package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"sabrefs/iaa"
)

const (
	maxFrameBytes = 256 * kib
	// sliceBytes of the sample are done by one engine before it is the turn of the
	// next: long enough to be timed, short enough for the machine to be the same.
	sliceBytes = 4 * mib
)

// packedFrame is a frame as some codec made it.
type packedFrame struct {
	data []byte // with iaa.SlackBytes of capacity behind it, unless it is raw
	raw  bool   // it did not shrink and is the piece of the sample
	// table is what an engine needs to decode it, if it has no header of its own.
	table *iaa.Table
}

func newPackedFrame(data []byte, rawBytes int) packedFrame {
	slack := make([]byte, len(data), len(data)+iaa.SlackBytes)
	copy(slack, data)
	return packedFrame{data: slack, raw: len(data) == rawBytes}
}

// compressor makes the frames of a stream, some at a time.
type compressor interface {
	// compress makes the frames first to end-1 and returns how long that took.
	compress(first, end int) (time.Duration, error)
	// frames returns all frames.
	frames() ([]packedFrame, error)
	close() error
}

// stream is the sample, compressed in one way.
type stream struct {
	codec, name string // name of who compressed
	level       int
	frameBytes  int
	mode        string            // of its rows
	table       func() *iaa.Table // of the last frame; nil if they share none
	compressor  compressor

	frames      []packedFrame
	packedBytes int64
	took        time.Duration
}

// frameCount is the number of frames of the sample; the last may be shorter.
func frameCount(rawBytes, frameBytes int) int { return (rawBytes + frameBytes - 1) / frameBytes }

// frameOf is one raw frame.
func frameOf(raw []byte, frameBytes, i int) []byte {
	return raw[i*frameBytes : min((i+1)*frameBytes, len(raw))]
}

// sliceCount is the number of slices of the sample.
func (b *codecBench) sliceCount() int { return frameCount(len(b.raw), sliceBytes) }

// framesOfSlice are the frames first to end-1 of a slice.
func (b *codecBench) framesOfSlice(slice, frameBytes int) (first, end int) {
	perSlice := sliceBytes / frameBytes
	return slice * perSlice, min((slice+1)*perSlice, frameCount(len(b.raw), frameBytes))
}

// makeStreams compresses slice after slice with every compressor in turn.
func (b *codecBench) makeStreams(ctx context.Context) error {
	for slice := range b.sliceCount() {
		b.progress("compressing", slice, b.sliceCount())
		runtime.GC() // not while somebody is timed
		for _, s := range b.streams {
			if err := ctx.Err(); err != nil {
				return err
			}
			took, err := s.compressor.compress(b.framesOfSlice(slice, s.frameBytes))
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			s.took += took
		}
	}
	for _, s := range b.streams {
		if err := s.finish(); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (s *stream) String() string {
	return fmt.Sprintf("%s by %s, level %d, frames of %d", s.codec, s.name, s.level, s.frameBytes)
}

func (s *stream) finish() (err error) {
	s.frames, err = s.compressor.frames()
	for _, f := range s.frames {
		s.packedBytes += int64(len(f.data))
	}
	return err
}

func (b *codecBench) progress(what string, done, all int) {
	fmt.Fprintf(b.log, "%s: %d of %d\n", what, done+1, all)
}

// encode compresses src into dst, which is shorter by one byte, and returns the
// length, or 0 if it does not fit.
type encode func(dst, src []byte) (int, error)

// goCompressor is a compressor in this process.
type goCompressor struct {
	raw    []byte
	stream *stream
	encode encode
	clock  clock
	packed []packedFrame
}

func newGoCompressor(raw []byte, s *stream, clock clock, encode encode) *goCompressor {
	return &goCompressor{raw: raw, stream: s, encode: encode, clock: clock, packed: make([]packedFrame, frameCount(len(raw), s.frameBytes))}
}

func (c *goCompressor) compress(first, end int) (time.Duration, error) {
	frameBytes := c.stream.frameBytes
	out, lengths := make([]byte, (end-first)*frameBytes), make([]int, end-first)
	begin := c.clock()
	for i := range lengths {
		src := frameOf(c.raw, frameBytes, first+i)
		n, err := c.encode(out[i*frameBytes:][:len(src)-1], src)
		if err != nil {
			return 0, fmt.Errorf("frame %d: %w", first+i, err)
		}
		lengths[i] = n
		if c.stream.table != nil {
			c.packed[first+i].table = c.stream.table()
		}
	}
	took := c.clock() - begin
	for i, n := range lengths {
		c.keep(first+i, out[i*frameBytes:][:n])
	}
	return took, nil
}

// keep stores a frame, or the piece of the sample if there is no packed one.
func (c *goCompressor) keep(i int, packed []byte) {
	src, table := frameOf(c.raw, c.stream.frameBytes, i), c.packed[i].table
	c.packed[i] = packedFrame{data: src, raw: true}
	if len(packed) > 0 {
		c.packed[i] = newPackedFrame(packed, len(src))
		c.packed[i].table = table
	}
}

func (c *goCompressor) frames() ([]packedFrame, error) { return c.packed, nil }

func (c *goCompressor) close() error { return nil }

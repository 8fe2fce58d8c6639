package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"sabrefs/iaa"
)

// jobCounts are how many frames are in flight at once.
var jobCounts = []int{1, 2, 4, 8, 16, 32}

// jobsContender is an engine with batches of one size.
type jobsContender struct {
	engine iaa.Engine
	jobs   int
	stream *stream
	batch  iaa.Batch
	dst    [][]byte // one for each job

	decodeMBPerS, encodeMBPerS []float64 // of the rounds
	latencies                  []time.Duration
}

// measureJobs decodes and compresses batches, each engine those of its own stream,
// on as many threads as it likes. In each round all decode the same slice in turn.
func (b *codecBench) measureJobs(ctx context.Context) ([]codecRow, error) {
	var contenders []*jobsContender
	for _, frameBytes := range []int{4 * kib, 16 * kib} {
		for _, engine := range b.engines {
			s, err := b.packAtOnce(ctx, engine, b.usualLevel(engine), frameBytes)
			if err != nil {
				return nil, err
			}
			for _, jobs := range jobCounts {
				contenders = append(contenders, newJobsContender(engine, jobs, s))
			}
		}
	}
	for round := range b.flags.rounds {
		b.progress("round with many jobs", round, b.flags.rounds)
		runtime.GC()
		for _, c := range contenders {
			first, end := b.framesOfSlice(round%b.sliceCount(), c.stream.frameBytes)
			if err := c.round(ctx, b.raw, first, end); err != nil {
				return nil, fmt.Errorf("%d jobs for %s: %w", c.jobs, c.engine.Name(), err)
			}
		}
	}
	var rows []codecRow
	for _, c := range contenders {
		rows = append(rows, c.row(b.raw))
	}
	return rows, nil
}

// usualLevel is the level of what an engine compresses itself.
func (b *codecBench) usualLevel(engine iaa.Engine) int {
	if engine == b.software() {
		return iaa.DefaultLevel
	}
	return deviceLevels[len(deviceLevels)-1]
}

// packAtOnce makes a stream outside of the rounds.
func (b *codecBench) packAtOnce(ctx context.Context, engine iaa.Engine, level, frameBytes int) (*stream, error) {
	s := &stream{codec: partDeflate, name: engine.Name(), level: level, frameBytes: frameBytes}
	s.compressor = newGoCompressor(b.raw, s, wallClock, encodeByEngine(ctx, engine, level))
	took, err := s.compressor.compress(0, frameCount(len(b.raw), frameBytes))
	if err != nil {
		return nil, err
	}
	s.took = took
	return s, s.finish()
}

func newJobsContender(engine iaa.Engine, jobs int, s *stream) *jobsContender {
	c := &jobsContender{engine: engine, jobs: jobs, stream: s}
	for range jobs {
		c.dst = append(c.dst, make([]byte, s.frameBytes+iaa.SlackBytes))
	}
	return c
}

// round decodes the frames first to end-1 in batches and compresses them again.
func (c *jobsContender) round(ctx context.Context, raw []byte, first, end int) error {
	var decoding, encoding time.Duration
	var rawBytes int
	for ; first < end; first += c.jobs {
		last := min(first+c.jobs, end)
		c.fill(raw, first, last)
		took, err := c.runBatch(ctx, iaa.OpDecompress)
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			want := frameOf(raw, c.stream.frameBytes, i)
			rawBytes += len(want)
			if !bytes.Equal(c.dst[i-first][:len(want)], want) {
				return fmt.Errorf("frame %d decodes to other bytes", i)
			}
		}
		decoding += took
		c.latencies = append(c.latencies, took)
		c.fillToCompress(raw, first, last)
		if took, err = c.runBatch(ctx, iaa.OpCompress); err != nil {
			return err
		}
		encoding += took
	}
	c.decodeMBPerS = append(c.decodeMBPerS, megabytesPerSecond(rawBytes, decoding))
	c.encodeMBPerS = append(c.encodeMBPerS, megabytesPerSecond(rawBytes, encoding))
	return nil
}

// fill makes the batch of frames to decode. A frame that is stored raw is no work
// for an engine and is copied at once.
func (c *jobsContender) fill(raw []byte, first, last int) {
	c.batch.Jobs = c.batch.Jobs[:0]
	for i := first; i < last; i++ {
		f, lenBytes := &c.stream.frames[i], len(frameOf(raw, c.stream.frameBytes, i))
		dst := c.dst[i-first][:lenBytes]
		if f.raw {
			copy(dst, f.data)
			continue
		}
		clear(dst)
		c.batch.Jobs = append(c.batch.Jobs, iaa.Job{Src: f.data, Dst: dst})
	}
}

func (c *jobsContender) fillToCompress(raw []byte, first, last int) {
	c.batch.Jobs = c.batch.Jobs[:0]
	for i := first; i < last; i++ {
		src := frameOf(raw, c.stream.frameBytes, i)
		c.batch.Jobs = append(c.batch.Jobs, iaa.Job{Src: src, Dst: c.dst[i-first][:len(src)-1], Level: c.stream.level})
	}
}

func (c *jobsContender) runBatch(ctx context.Context, op iaa.Op) (time.Duration, error) {
	begin := time.Now()
	c.engine.Start(ctx, op, &c.batch)
	err := c.batch.Wait()
	took := time.Since(begin)
	for i := range c.batch.Jobs {
		if jobErr := c.batch.Jobs[i].Err; !errors.Is(jobErr, iaa.ErrNoGain) {
			err = errors.Join(err, jobErr)
		}
	}
	return took, err
}

func (c *jobsContender) row(raw []byte) codecRow {
	row := newStreamRow(c.stream, len(raw))
	row.Engine, row.Jobs = c.engine.Name(), c.jobs
	row.CompressMBPerS, _, _ = spread(c.encodeMBPerS)
	row.DecompressMBPerS, _, _ = spread(c.decodeMBPerS)
	row.P50US, row.P99US = percentile(c.latencies, 50), percentile(c.latencies, 99)
	return row
}

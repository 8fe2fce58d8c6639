package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"sabrefs/iaa"
)

const (
	// batchJobs is how many frames an engineDecoder hands over at once.
	batchJobs = 16

	// modeSingle is for rows of engines that get one frame a call.
	modeSingle = "single"
)

// engineDecoder lets an engine decode several frames in one call, on the thread
// that calls, as the store does for all but a lone page fault. Where frames are
// timed, it gets one a call.
type engineDecoder struct {
	ctx    context.Context // for the engine; a frameDecoder gets none
	engine iaa.Engine
	raw    []byte
	stream *stream
	clock  clock // for run
	jobs   []iaa.Job
	dst    [][]byte // one for each job
}

// addEngine enters an engine on a stream.
func (b *codecBench) addEngine(ctx context.Context, s *stream, engine iaa.Engine) {
	d := &engineDecoder{ctx: ctx, engine: engine, raw: b.raw, stream: s, clock: b.clockOf(engine.Name())}
	for range batchJobs {
		d.dst = append(d.dst, make([]byte, s.frameBytes+iaa.SlackBytes))
	}
	b.contenders = append(b.contenders, &contender{stream: s, engine: engine.Name(), decoder: d})
}

// addSingle enters an engine on a stream with one frame a call.
func (b *codecBench) addSingle(ctx context.Context, s *stream, engine iaa.Engine) {
	b.addContender(s, engine.Name(), decodeByEngine(ctx, engine)).mode = modeSingle
}

// batch decodes the frames first to end-1, at most batchJobs.
func (d *engineDecoder) batch(first, end int) error {
	d.jobs = d.jobs[:0]
	for i := first; i < end; i++ {
		f, dst := &d.stream.frames[i], d.output(i, first)
		if f.raw {
			copy(dst, f.data)
			continue
		}
		d.jobs = append(d.jobs, iaa.Job{Src: f.data, Dst: dst, Table: f.table})
	}
	err := d.engine.Decompress(d.ctx, d.jobs)
	for i := range d.jobs {
		err = errors.Join(err, d.jobs[i].Err)
	}
	if err != nil {
		return fmt.Errorf("frames %d to %d: %w", first, end-1, err)
	}
	return nil
}

// output is where a frame of a batch goes.
func (d *engineDecoder) output(i, first int) []byte {
	return d.dst[i-first][:len(frameOf(d.raw, d.stream.frameBytes, i))]
}

func (d *engineDecoder) run(first, end int) (time.Duration, error) {
	begin := d.clock()
	for ; first < end; first += batchJobs {
		if err := d.batch(first, min(first+batchJobs, end)); err != nil {
			return 0, err
		}
	}
	return d.clock() - begin, nil
}

func (d *engineDecoder) each(first, end int) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, end-first)
	for ; first < end; first++ {
		begin := time.Now()
		if err := d.batch(first, first+1); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(begin))
	}
	return latencies, nil
}

func (d *engineDecoder) check() error {
	for first := 0; first < len(d.stream.frames); first += batchJobs {
		if err := d.checkBatch(first, min(first+batchJobs, len(d.stream.frames))); err != nil {
			return err
		}
	}
	return nil
}

func (d *engineDecoder) checkBatch(first, end int) error {
	for i := first; i < end; i++ {
		for j, b := range frameOf(d.raw, d.stream.frameBytes, i) {
			d.dst[i-first][j] = ^b // what is there must not pass for the result
		}
	}
	if err := d.batch(first, end); err != nil {
		return err
	}
	for i := first; i < end; i++ {
		if !bytes.Equal(d.output(i, first), frameOf(d.raw, d.stream.frameBytes, i)) {
			return fmt.Errorf("frame %d decodes to other bytes", i)
		}
	}
	return nil
}

func (d *engineDecoder) prepare() error { return nil }

func (d *engineDecoder) close() error { return nil }

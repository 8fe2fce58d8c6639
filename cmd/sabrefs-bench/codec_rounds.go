package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"sabrefs/iaa"
)

// frameDecoder decodes the frames of one stream.
type frameDecoder interface {
	// prepare is called once, when the frames are there.
	prepare() error
	// run decodes the frames first to end-1 in one go and returns how long that
	// took: CPU time of the thread, unless it waits for a device.
	run(first, end int) (time.Duration, error)
	// each does the same and times every frame by the wall clock.
	each(first, end int) ([]time.Duration, error)
	// check decodes all frames and compares them with the sample.
	check() error
	close() error
}

// contender is an engine on a stream.
type contender struct {
	stream  *stream
	engine  string
	mode    string
	jobs    int // in a call, if not one
	decoder frameDecoder

	took      time.Duration // in this round
	perRound  []float64     // MB/s
	latencies []time.Duration
}

func (c *contender) String() string { return fmt.Sprintf("%s decoding %s", c.engine, c.stream) }

// runRounds lets every contender decode the sample once for each round, slice by
// slice in turn, then once with every frame timed.
func (b *codecBench) runRounds(ctx context.Context) error {
	for i, c := range b.contenders {
		if err := c.tryOut(ctx); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		if i%10 == 9 || i+1 == len(b.contenders) {
			b.progress("comparing what was decoded", i, len(b.contenders))
		}
	}
	for round := range b.flags.rounds {
		b.progress("round", round, b.flags.rounds)
		if err := b.inTurn(ctx, (*contender).runSlice); err != nil {
			return err
		}
		for _, c := range b.contenders {
			c.perRound = append(c.perRound, megabytesPerSecond(len(b.raw), c.took))
			c.took = 0
		}
	}
	return b.inTurn(ctx, (*contender).timeSlice)
}

func (c *contender) tryOut(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.decoder.prepare(); err != nil {
		return err
	}
	return c.decoder.check()
}

func (c *contender) runSlice(first, end int) error {
	took, err := c.decoder.run(first, end)
	c.took += took
	return err
}

func (c *contender) timeSlice(first, end int) error {
	latencies, err := c.decoder.each(first, end)
	c.latencies = append(c.latencies, latencies...)
	return err
}

// inTurn gives each slice to all contenders before the next.
func (b *codecBench) inTurn(ctx context.Context, do func(c *contender, first, end int) error) error {
	for slice := range b.sliceCount() {
		runtime.GC() // not while somebody is timed
		for _, c := range b.contenders {
			if err := ctx.Err(); err != nil {
				return err
			}
			first, end := b.framesOfSlice(slice, c.stream.frameBytes)
			if err := do(c, first, end); err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
		}
	}
	return nil
}

func megabytesPerSecond(rawBytes int, took time.Duration) float64 {
	return float64(rawBytes) / 1e6 / max(took, time.Nanosecond).Seconds()
}

// decode fills dst, which has the length of the raw frame, from a packed one. Both
// have iaa.SlackBytes of capacity behind them.
type decode func(dst []byte, f *packedFrame) error

// destination is where a goDecoder decodes to.
type destination interface {
	// begin is called before the frames first to end-1, end after them. Neither is
	// timed.
	begin(first, end int) error
	end() error
	// frame is the memory for one of them.
	frame(i, rawBytes int) []byte
}

// goDecoder is a frameDecoder in this process.
type goDecoder struct {
	raw    []byte
	stream *stream
	decode decode
	clock  clock // for run
	dst    destination
}

func (d *goDecoder) one(i int) error {
	f := &d.stream.frames[i]
	dst := d.dst.frame(i, len(frameOf(d.raw, d.stream.frameBytes, i)))
	if f.raw {
		copy(dst, f.data)
		return nil
	}
	return d.decode(dst, f)
}

func (d *goDecoder) run(first, end int) (took time.Duration, err error) {
	if err := d.dst.begin(first, end); err != nil {
		return 0, err
	}
	begin := d.clock()
	for i := first; i < end; i++ {
		if err := d.one(i); err != nil {
			return 0, errors.Join(fmt.Errorf("frame %d: %w", i, err), d.dst.end())
		}
	}
	took = d.clock() - begin
	return took, d.dst.end()
}

func (d *goDecoder) each(first, end int) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, end-first)
	if err := d.dst.begin(first, end); err != nil {
		return nil, err
	}
	for i := first; i < end; i++ {
		begin := time.Now()
		if err := d.one(i); err != nil {
			return nil, errors.Join(fmt.Errorf("frame %d: %w", i, err), d.dst.end())
		}
		latencies = append(latencies, time.Since(begin))
	}
	return latencies, d.dst.end()
}

func (d *goDecoder) check() error {
	for i := range d.stream.frames {
		if err := d.checkOne(i); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
	}
	return nil
}

func (d *goDecoder) checkOne(i int) error {
	want := frameOf(d.raw, d.stream.frameBytes, i)
	if err := d.dst.begin(i, i+1); err != nil {
		return err
	}
	dst := d.dst.frame(i, len(want))
	for j := range dst {
		dst[j] = ^want[j] // what an earlier decoder left must not pass for the result
	}
	err := d.one(i)
	if err == nil && !bytes.Equal(dst, want) {
		err = errors.New("decodes to other bytes")
	}
	return errors.Join(err, d.dst.end())
}

func (d *goDecoder) prepare() error { return nil }

func (d *goDecoder) close() error { return nil }

// oneBuffer is a destination for one frame after the other, as it is for a server
// that copies what it decodes.
type oneBuffer []byte

func newOneBuffer() oneBuffer { return make([]byte, maxFrameBytes+iaa.SlackBytes) }

func (oneBuffer) begin(int, int) error           { return nil }
func (oneBuffer) end() error                     { return nil }
func (b oneBuffer) frame(_, rawBytes int) []byte { return b[: rawBytes : rawBytes+iaa.SlackBytes] }

// percentile of durations in microseconds; it sorts them.
func percentile(durations []time.Duration, percent int) float64 {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return microseconds(durations[len(durations)*percent/100])
}

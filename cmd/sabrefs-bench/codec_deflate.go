package main

import (
	"bytes"
	stdflate "compress/flate"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"sabrefs/iaa"
)

// Names of who compresses or decodes DEFLATE beside the engines of package iaa.
const (
	nameKlauspost  = "klauspost"
	nameStdlib     = "stdlib"
	nameLibdeflate = "libdeflate"
)

// peerLevel is the level of the other compressors: the usual one.
const peerLevel = 6

// deflateLevels are the levels of our own compressor by size of frames.
var deflateLevels = []struct {
	frameBytes int
	levels     []int
}{
	{4 * kib, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
	{16 * kib, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
	{64 * kib, []int{1, 5, 9}},
	{maxFrameBytes, []int{1, 5, 9}},
}

// deviceLevels are what an accelerator compresses at, in one pass and in two; it
// leaves denser ones to the software.
var deviceLevels = []int{1, 3}

// addDeflate enters all that compress and decode DEFLATE.
func (b *codecBench) addDeflate(ctx context.Context) error {
	b.libdeflate = buildLibdeflate(ctx, b.log, b.dir)
	for _, set := range deflateLevels {
		for _, level := range set.levels {
			if err := b.addSoftwareLevel(ctx, level, set.frameBytes); err != nil {
				return err
			}
		}
		for _, engine := range b.engines[1:] {
			for _, level := range deviceLevels {
				own := b.addStream(partDeflate, engine.Name(), level, set.frameBytes, encodeByEngine(ctx, engine, level))
				b.addEngine(ctx, own, engine)
			}
		}
		if err := b.addPeers(ctx, set.frameBytes); err != nil {
			return err
		}
	}
	return b.addShared(ctx)
}

// software is the engine of package iaa that every machine has.
func (b *codecBench) software() iaa.Engine { return b.engines[0] }

// clockOf is the clock for one who compresses or decodes: the thread does not work
// all the time while it waits for a device.
func (b *codecBench) clockOf(name string) clock {
	for _, engine := range b.engines[1:] {
		if engine.Name() == name {
			return wallClock
		}
	}
	return threadClock
}

// addSoftwareLevel enters the software on its own stream. At the usual level the
// other engines and libdeflate decode the stream as well.
func (b *codecBench) addSoftwareLevel(ctx context.Context, level, frameBytes int) error {
	s := b.addStream(partDeflate, b.software().Name(), level, frameBytes, encodeByEngine(ctx, b.software(), level))
	if level != iaa.DefaultLevel {
		b.addEngine(ctx, s, b.software())
		return nil
	}
	for _, engine := range b.engines {
		b.addEngine(ctx, s, engine)
		b.addSingle(ctx, s, engine)
	}
	return b.addLibdeflate(ctx, s)
}

// addPeers enters the streams of others. Ours decodes libdeflate's, for who reads
// faster must be asked of one stream.
func (b *codecBench) addPeers(ctx context.Context, frameBytes int) error {
	klauspost := b.addStream(partDeflate, nameKlauspost, peerLevel, frameBytes, encodeByKlauspost())
	b.addContender(klauspost, nameKlauspost, decodeByKlauspost())
	stdlib := b.addStream(partDeflate, nameStdlib, peerLevel, frameBytes, encodeByStdlib())
	b.addContender(stdlib, nameStdlib, decodeByStdlib())
	libdeflate, err := b.addLibdeflateStream(ctx, frameBytes)
	if err != nil || libdeflate == nil {
		return err
	}
	b.addEngine(ctx, libdeflate, b.software())
	b.addSingle(ctx, libdeflate, b.software())
	b.addContender(libdeflate, nameKlauspost, decodeByKlauspost())
	b.addContender(libdeflate, nameStdlib, decodeByStdlib())
	return nil
}

func (b *codecBench) addStream(codec, name string, level, frameBytes int, encode encode) *stream {
	s := &stream{codec: codec, name: name, level: level, frameBytes: frameBytes}
	s.compressor = newGoCompressor(b.raw, s, b.clockOf(name), encode)
	b.streams = append(b.streams, s)
	return s
}

func (b *codecBench) addContender(s *stream, engine string, decode decode) *contender {
	c := &contender{stream: s, engine: engine, decoder: &goDecoder{raw: b.raw, stream: s, decode: decode, clock: b.clockOf(engine), dst: b.buffer}}
	b.contenders = append(b.contenders, c)
	return c
}

func encodeByEngine(ctx context.Context, engine iaa.Engine, level int) encode {
	run, _ := encodeWithTables(ctx, engine, level, nil)
	return run
}

// encodeWithTables also returns a function that tells which table the last frame
// needs, or nil.
func encodeWithTables(ctx context.Context, engine iaa.Engine, level int, tables []*iaa.Table) (_ encode, table func() *iaa.Table) {
	job := make([]iaa.Job, 1)
	run := func(dst, src []byte) (int, error) {
		job[0] = iaa.Job{Src: src, Dst: dst, Level: level, Tables: tables}
		if err := engine.Compress(ctx, job); err != nil {
			return 0, err
		}
		if errors.Is(job[0].Err, iaa.ErrNoGain) {
			return 0, nil
		}
		return job[0].N, job[0].Err
	}
	return run, func() *iaa.Table { return job[0].Table }
}

func decodeByEngine(ctx context.Context, engine iaa.Engine) decode {
	job := make([]iaa.Job, 1)
	return func(dst []byte, f *packedFrame) error {
		job[0] = iaa.Job{Src: f.data, Dst: dst, Table: f.table}
		if err := engine.Decompress(ctx, job); err != nil {
			return err
		}
		return job[0].Err
	}
}

// flateWriter is what both flate packages have.
type flateWriter interface {
	io.WriteCloser
	Reset(out io.Writer)
}

func encodeByKlauspost() encode {
	w, err := flate.NewWriter(io.Discard, peerLevel)
	return encodeByFlate(w, err)
}

func encodeByStdlib() encode {
	w, err := stdflate.NewWriter(io.Discard, peerLevel)
	return encodeByFlate(w, err)
}

func encodeByFlate(w flateWriter, newErr error) encode {
	var out bytes.Buffer
	return func(dst, src []byte) (int, error) {
		if newErr != nil {
			return 0, newErr
		}
		out.Reset()
		w.Reset(&out)
		if _, err := w.Write(src); err != nil {
			return 0, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
		if out.Len() > len(dst) {
			return 0, nil
		}
		return copy(dst, out.Bytes()), nil
	}
}

func decodeByKlauspost() decode {
	in := bytes.NewReader(nil)
	return decodeByFlate(in, flate.NewReader(in))
}

func decodeByStdlib() decode {
	in := bytes.NewReader(nil)
	return decodeByFlate(in, stdflate.NewReader(in))
}

// resetter is flate.Resetter of both packages.
type resetter interface {
	Reset(r io.Reader, dict []byte) error
}

func decodeByFlate(in *bytes.Reader, out io.Reader) decode {
	return func(dst []byte, f *packedFrame) error {
		in.Reset(f.data)
		r, canReset := out.(resetter)
		if !canReset {
			return fmt.Errorf("reader cannot be used again: %w", errors.ErrUnsupported)
		}
		if err := r.Reset(in, nil); err != nil {
			return err
		}
		_, err := io.ReadFull(out, dst)
		return err
	}
}

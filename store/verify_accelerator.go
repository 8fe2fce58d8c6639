package store

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sabrefs/iaa/model"
)

// acceleratorCheck decodes DEFLATE frames as the accelerator would, which is
// stricter than RFC 1951.
type acceleratorCheck struct {
	img      *Image
	next     atomic.Int64 // frame
	deflate  atomic.Int64 // frames that are DEFLATE
	readable atomic.Int64 // of them
}

// run checks all frames, on all cores: the model is slow.
func (c *acceleratorCheck) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error { return c.work(ctx) })
	}
	return group.Wait()
}

func (c *acceleratorCheck) work(ctx context.Context) error {
	packed := make([]byte, MaxFrameBytes+SlackBytes)
	read := frameRead{buf: &packed, dst: make([]byte, MaxFrameBytes)}
	stream := make([]byte, 0, MaxFrameBytes)
	for {
		frame := c.next.Add(1) - 1
		if frame >= c.img.header.FrameCount {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if read.entry, err = c.img.Frame(uint32(c.img.firstFrame + frame)); err != nil {
			return err
		}
		if read.entry.Codec != CodecDeflate {
			continue
		}
		if err := c.check(&read, stream); err != nil {
			return err
		}
	}
}

// check decodes one frame; stream is scratch space.
func (c *acceleratorCheck) check(read *frameRead, stream []byte) error {
	c.deflate.Add(1)
	if err := read.readPacked(); err != nil {
		return err
	}
	table, err := read.entry.table()
	if err != nil {
		return err
	}
	if table != nil { // what the driver hands to the device
		stream = append(stream[:0], table.Prefix()...)
	}
	stream = append(stream, read.packed...)
	raw := read.dst[:read.entry.RawBytes()]
	result, err := model.Decode(raw, stream)
	if err != nil {
		return nil //nolint:nilerr // the device refuses the frame: that is the answer
	}
	if result.OutputBytes != len(raw) || result.CRC32 != read.entry.CRC32 {
		return corruptAt(read.entry.PackedOff, "frame: the model of the accelerator decodes %d bytes with checksum %08x, expected %d with %08x",
			result.OutputBytes, result.CRC32, len(raw), read.entry.CRC32)
	}
	c.readable.Add(1)
	return nil
}

package store

import (
	"context"
	"sync"

	"sabrefs/iaa"
)

// frameRead is one frame to decode, and how that ended.
type frameRead struct {
	entry FrameEntry
	dst   []byte // of entry.RawBytes(), with slack behind if possible
	err   error

	buf    *[]byte // holds packed
	packed []byte
}

// ReadFrame decodes a frame into dst, which must have entry.RawBytes() bytes,
// and compares its checksum. entry comes from Frame, of the same image. What lies between the length
// and the capacity of dst may be overwritten: decoding is much faster if there are
// SlackBytes of it.
func (img *Image) ReadFrame(ctx context.Context, entry FrameEntry, dst []byte) error {
	if entry.img == nil { // it was not looked up
		entry.img = img
	}
	reads := [1]frameRead{{entry: entry, dst: dst}}
	img.readFrames(ctx, reads[:])
	return reads[0].err
}

// packedBufs holds buffers (*[]byte) for the packed bytes of a frame with slack.
var packedBufs = sync.Pool{New: newSlackBuf}

// readFrames reads and decodes several frames.
func (img *Image) readFrames(ctx context.Context, reads []frameRead) {
	for i := range reads {
		r := &reads[i]
		r.buf, _ = packedBufs.Get().(*[]byte)
		r.err = r.readPacked()
	}
	img.decodePacked(ctx, reads)
	for i := range reads {
		packedBufs.Put(reads[i].buf)
	}
}

// decodePacked decodes those frames whose packed bytes were read: what is DEFLATE
// goes to the engine as one batch, which a device runs in parallel and software
// decodes two at a time.
func (img *Image) decodePacked(ctx context.Context, reads []frameRead) {
	deflated := make([]int, 0, len(reads))
	for i := range reads {
		r := &reads[i]
		if r.err != nil {
			continue
		}
		if r.entry.Codec == CodecDeflate {
			deflated = append(deflated, i)
			continue
		}
		crc, err := img.decoder.decode(ctx, r.entry.Codec, nil, r.dst, r.packed)
		r.finish(crc, err)
	}
	img.inflate(ctx, reads, deflated)
	for i := range reads {
		reads[i].err = inFile(reads[i].entry.img.path, reads[i].err)
	}
}

// readPacked reads the packed bytes. The slack behind them is the next frame or
// padding: it is read along so that decoders may look past the end of their input.
func (r *frameRead) readPacked() error {
	layer := r.entry.img
	b := (*r.buf)[:r.entry.PackedLen+SlackBytes]
	if _, err := layer.file.ReadAt(b, r.entry.PackedOff); err != nil {
		return shortRead(err, r.entry.PackedOff)
	}
	r.packed = b[:r.entry.PackedLen]
	layer.around.request(layer.file, r.entry)
	return nil
}

// inflate decodes the DEFLATE frames among the reads, given by number.
func (img *Image) inflate(ctx context.Context, reads []frameRead, numbers []int) {
	jobs := make([]iaa.Job, 0, len(numbers))
	for _, i := range numbers {
		r := &reads[i]
		job := iaa.Job{Src: r.packed, Dst: r.dst}
		if job.Table, r.err = r.entry.table(); r.err == nil {
			jobs = append(jobs, job)
		}
	}
	if len(jobs) == 0 {
		return
	}
	batchErr := img.decoder.deflateEngine().Decompress(ctx, jobs)
	next := 0
	for _, i := range numbers {
		if reads[i].err != nil {
			continue
		}
		job := &jobs[next]
		next++
		switch {
		case job.Err != nil && ctx.Err() != nil:
			reads[i].err = ctx.Err()
		case batchErr != nil && job.N != len(job.Dst):
			reads[i].err = batchErr // whatever the engine says of the job
		default:
			reads[i].finish(job.CRC32, job.Err)
		}
	}
}

// table returns the shared table of a frame, nil if it has its own.
func (f FrameEntry) table() (*iaa.Table, error) {
	if f.SharedTable == 0 {
		return nil, nil //nolint:nilnil // no table is an answer
	}
	tables, err := f.img.tables()
	if err != nil {
		return nil, err
	}
	if int(f.SharedTable) > len(tables) {
		return nil, corruptAt(f.PackedOff, "frame: it uses shared table %d of %d", f.SharedTable, len(tables))
	}
	return tables[f.SharedTable-1], nil
}

// finish sets the error from that of the codec and from the checksum.
func (r *frameRead) finish(crc uint32, err error) {
	switch {
	case err != nil:
		r.err = corruptAt(r.entry.PackedOff, "frame: %v", err)
	case crc != r.entry.CRC32:
		r.err = corruptAt(r.entry.PackedOff, "frame: checksum is %08x, computed %08x", r.entry.CRC32, crc)
	}
}

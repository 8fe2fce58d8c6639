package store

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sabrefs/iaa"
)

// frameJob is a frame on its way through the pipeline.
type frameJob struct {
	number uint32
	pages  int
	raw    []byte // room for the largest frame of the image
	packed []byte
	entry  FrameEntry
	out    []byte        // what is written: packed or raw
	ready  chan struct{} // closed when entry and out are set
}

// pipeline packs one memory file. Its stages are goroutines joined by channels:
//
//	scan -> hash (parallel) -> sequence -> compress (parallel) -> write
//
// The two parallel stages take work in any order; the stage after each waits
// for the pieces in their order, so that an image does not depend on timing.
// Segments and frames are made once and go round, which bounds the memory.
type pipeline struct {
	src memorySource
	w   *imageWriter
	opt PackOptions

	tables                        []*iaa.Table // shared by DEFLATE frames
	segments                      *segmentStream
	freeFrames, toPack, compacted chan *frameJob

	// The sequence stage alone uses these.
	digester       *contentDigester
	dedup          *dedupIndex
	current        *frameJob
	nextFrame      uint32
	duplicatePages int64
	storedPages    int64

	rawFrames    atomic.Int64
	sharedFrames atomic.Int64 // that use one of tables
}

func newPipeline(src memorySource, w *imageWriter, opt PackOptions) *pipeline {
	inFlight := 4 * opt.Workers
	p := &pipeline{
		src: src, w: w, opt: opt,
		segments:   newSegmentStream(src, opt.Workers),
		freeFrames: make(chan *frameJob, inFlight), toPack: make(chan *frameJob, inFlight), compacted: make(chan *frameJob, inFlight),
		digester: newContentDigester(src.rawBytes()),
		dedup:    newDedupIndex(pagesOf(src.rawBytes())),
	}
	for range inFlight {
		frameBytes := opt.FramePages * PageBytes
		p.freeFrames <- &frameJob{raw: make([]byte, frameBytes), packed: make([]byte, frameBytes)}
	}
	return p
}

// train makes the tables that frames may share.
func (p *pipeline) train(ctx context.Context) error {
	lengths, err := trainTables(ctx, p.src, p.opt)
	if err != nil {
		return err
	}
	p.w.sharedTables = lengths
	p.tables, err = prepareTables(lengths)
	return err
}

// keepTables puts the tables into the image if a frame needs one.
func (p *pipeline) keepTables() {
	if p.sharedFrames.Load() == 0 {
		p.w.sharedTables = nil
		return
	}
	p.w.header.Incompat |= FeatureSharedTables
}

func (p *pipeline) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	p.segments.start(ctx, group)
	group.Go(func() error { return p.sequence(ctx) })
	group.Go(func() error { return p.write(ctx) })
	for range p.opt.Workers {
		group.Go(func() error { return p.compress(ctx) })
	}
	return group.Wait()
}

// sequence decides, page by page in address order, where each page goes.
func (p *pipeline) sequence(ctx context.Context) error {
	defer close(p.toPack)
	defer close(p.compacted)
	err := p.segments.forEach(ctx, func(s *segment) error {
		if p.opt.Progress != nil {
			defer p.opt.Progress(s.endRawOff(p.src.rawBytes()))
		}
		return p.placePages(ctx, s)
	})
	if err != nil {
		return err
	}
	return p.endFrame(ctx)
}

func (p *pipeline) placePages(ctx context.Context, s *segment) error {
	for i := range s.pageCount {
		if s.zero[i] {
			continue
		}
		page := s.firstPage + i
		p.digester.addZeros(page)
		p.digester.add(s.digests[i])
		entry, found := p.dedup.find(s.digests[i])
		if found {
			p.duplicatePages++
		} else {
			var err error
			if entry, err = p.storePage(ctx, s.page(i)); err != nil {
				return err
			}
			p.dedup.add(s.digests[i], entry)
		}
		if err := p.w.pages.set(page, entry); err != nil {
			return err
		}
	}
	return nil
}

// storePage puts a page into the current frame and returns its page map entry.
func (p *pipeline) storePage(ctx context.Context, page []byte) (uint32, error) {
	if p.current == nil {
		f, _, err := receive(ctx, p.freeFrames)
		if err != nil {
			return 0, err
		}
		f.number, f.pages, f.ready = p.nextFrame, 0, make(chan struct{})
		p.current = f
		p.nextFrame++
	}
	f := p.current
	ref := PageRef{Kind: PageInFrame, Frame: f.number, Slot: uint8(f.pages)}
	copy(f.raw[f.pages*PageBytes:], page)
	f.pages++
	p.storedPages++
	if f.pages == p.opt.FramePages {
		if err := p.endFrame(ctx); err != nil {
			return 0, err
		}
	}
	return ref.encode(p.opt.slotBits()), nil
}

// endFrame sends the current frame, if there is one, on.
func (p *pipeline) endFrame(ctx context.Context) error {
	f := p.current
	if f == nil {
		return nil
	}
	p.current = nil
	if err := send(ctx, p.compacted, f); err != nil {
		return err
	}
	return send(ctx, p.toPack, f)
}

func (p *pipeline) compress(ctx context.Context) error {
	deflate := deflateEncoder{engine: p.opt.Engine, tables: p.tables}
	enc, err := newEncoder(p.opt.Codec, p.opt.Level, p.opt.FramePages*PageBytes, deflate)
	if err != nil {
		return err
	}
	check := frameChecker{
		decoder: decoder{p.opt.Engine}, tables: p.tables,
		raw: make([]byte, p.opt.FramePages*PageBytes+SlackBytes),
	}
	for {
		f, open, err := receive(ctx, p.toPack)
		if err != nil || !open {
			return err
		}
		if err := f.compress(enc, p.opt.Codec); err != nil {
			return err
		}
		if err := check.decodes(ctx, f); err != nil {
			return err
		}
		if f.entry.Codec == CodecRaw {
			p.rawFrames.Add(1)
		}
		if f.entry.SharedTable != 0 {
			p.sharedFrames.Add(1)
		}
		close(f.ready)
	}
}

// compress sets the frame's entry and out.
func (f *frameJob) compress(enc encoder, codec Codec) error {
	raw := f.raw[:f.pages*PageBytes]
	f.entry = FrameEntry{Codec: CodecRaw, Pages: f.pages, CRC32: crc32.ChecksumIEEE(raw)}
	f.out = raw
	packed, err := enc.encode(f.packed, raw)
	if err != nil {
		return fmt.Errorf("compressing frame %d: %w", f.number, err)
	}
	if packed.shrinks {
		f.entry.Codec, f.entry.SharedTable, f.out = codec, packed.sharedTable, f.packed[:packed.n]
	}
	return nil
}

// frameChecker decodes each frame before it is written: a compressor that is
// wrong once in a lifetime must cost a failed pack and not a lost snapshot.
type frameChecker struct {
	decoder decoder
	tables  []*iaa.Table
	raw     []byte
}

func (c *frameChecker) decodes(ctx context.Context, f *frameJob) error {
	if f.entry.Codec == CodecRaw {
		return nil
	}
	got := c.raw[:f.pages*PageBytes]
	var table *iaa.Table
	if f.entry.SharedTable != 0 {
		table = c.tables[f.entry.SharedTable-1]
	}
	if _, err := c.decoder.decode(ctx, f.entry.Codec, table, got, f.out); err != nil {
		return fmt.Errorf("frame %d does not decode after compression by %v: %w", f.number, f.entry.Codec, err)
	}
	if !bytes.Equal(got, f.raw[:len(got)]) {
		return fmt.Errorf("frame %d decodes to other bytes after compression by %v: %w", f.number, f.entry.Codec, ErrCorrupt)
	}
	return nil
}

// write appends the frames to the image in their order.
func (p *pipeline) write(ctx context.Context) error {
	for {
		f, open, err := receive(ctx, p.compacted)
		if err != nil || !open {
			return err
		}
		if err := await(ctx, f.ready); err != nil {
			return err
		}
		if err := p.w.appendFrame(f.entry, f.out); err != nil {
			return err
		}
		p.freeFrames <- f // has room for all frames: never waits
	}
}

func (p *pipeline) result(h Header) PackResult {
	return PackResult{
		RawBytes: h.RawBytes, PackedBytes: h.FileBytes, PageCount: h.PageCount(),
		ZeroPages: h.ZeroPages, DuplicatePages: h.DuplicatePages, StoredPages: p.storedPages,
		Frames: h.FrameCount, RawFrames: p.rawFrames.Load(), SharedTableFrames: p.sharedFrames.Load(),
		Codec: p.opt.Codec.String(), Level: p.opt.Level.String(), FrameBytes: p.opt.FramePages * PageBytes,
		UUID: h.UUID, Digest: h.Digest.String(),
	}
}

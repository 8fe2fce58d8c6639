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
	number  uint32
	hot     bool // it holds pages of the working set
	pages   int
	digests []byte // of its pages, as they are kept
	copied  bool   // it is frame old of the image that is replaced
	old     uint32
	raw     []byte // room for the largest frame of the image
	packed  []byte
	entry   FrameEntry
	out     []byte        // what is written: packed or raw
	ready   chan struct{} // closed when entry and out are set
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
	hot                           *hotLayout   // nil without a working set
	old                           *oldImage    // nil unless frames are taken over
	inherit                       inheritance  // nil without a parent
	diff                          *diffOf      // nil unless the source is one
	segments                      *segmentStream
	freeFrames, toPack, compacted chan *frameJob

	// The sequence stage alone uses these.
	digester       *contentDigester
	dedup          *dedupIndex
	current        *frameJob
	nextFrame      int64
	copies         []uint32 // frames of old that follow current
	inFrames       int64    // pages that are not zero and not inherited
	inherited      int64    // pages
	storedPages    int64
	hotPages       int64 // of storedPages
	copiedFrames   int64
	placed, walked placedSum // of the working set: as placed, as digested

	hotPackedBytes int64 // the write stage uses it

	rawFrames    atomic.Int64
	sharedFrames atomic.Int64 // that use one of tables
}

func newPipeline(src memorySource, w *imageWriter, opt PackOptions, hot *hotLayout, target packTarget) *pipeline {
	inFlight := 4 * opt.Workers
	p := &pipeline{
		src: src, w: w, opt: opt, hot: hot, old: target.old, inherit: target.inherit,
		segments:   newSegmentStream(src, opt.Workers),
		freeFrames: make(chan *frameJob, inFlight), toPack: make(chan *frameJob, inFlight), compacted: make(chan *frameJob, inFlight),
		digester: newContentDigester(src.rawBytes()),
		dedup:    newDedupIndex(pagesOf(src.rawBytes())),
	}
	p.diff, _ = src.(*diffOf)
	for range inFlight {
		frameBytes := w.header.MaxPagesPerFrame() * PageBytes
		p.freeFrames <- &frameJob{raw: make([]byte, frameBytes), packed: make([]byte, frameBytes)}
	}
	p.segments.hot = hot
	return p
}

// fill writes all frames and counts what is in them.
func (p *pipeline) fill(ctx context.Context) error {
	if err := p.train(ctx); err != nil {
		return err
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	if err := p.src.unchanged(); err != nil {
		return err
	}
	if p.placed != p.walked {
		return findingAt(ErrChanged, wholeFile, "the working set is not what it was; pause the VM, or copy the file, and pack again")
	}
	p.keepTables()
	p.count()
	if p.opt.Accept == nil {
		return nil
	}
	header := p.w.header
	header.Digest = p.digester.sum()
	return p.opt.Accept(&header)
}

// count sets the counts of the header.
func (p *pipeline) count() {
	h := &p.w.header
	h.DuplicatePages = p.inFrames - p.storedPages
	h.ParentPages = p.inherited
	h.ZeroPages = h.PageCount() - p.inFrames - p.inherited
	if p.hot != nil {
		p.w.workingSet = p.hot.recorded
	}
}

// train makes the tables that frames may share. Frames that are taken over bring
// theirs.
func (p *pipeline) train(ctx context.Context) error {
	lengths, err := p.old.tables()
	if err == nil && len(lengths) == 0 {
		lengths, err = trainTables(ctx, p.src, p.opt)
	}
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

// sequence decides, page by page, where each page goes: the working set first,
// then all in address order.
func (p *pipeline) sequence(ctx context.Context) error {
	defer close(p.toPack)
	defer close(p.compacted)
	hot := p.hot != nil
	err := p.segments.forEach(ctx, func(s *segment) error {
		if s.hot {
			return p.placeHot(ctx, s)
		}
		if hot {
			hot = false
			if err := p.endHot(ctx); err != nil {
				return err
			}
		}
		if p.opt.Progress != nil {
			defer p.opt.Progress(s.endRawOff(p.src.rawBytes()))
		}
		return p.placePages(ctx, s)
	})
	if err != nil {
		return err
	}
	if err := p.inheritChunks(p.digester.pageCount); err != nil {
		return err
	}
	return p.endFrame(ctx)
}

// endHot ends the frames of the working set.
func (p *pipeline) endHot(ctx context.Context) error {
	if err := p.endFrame(ctx); err != nil {
		return err
	}
	p.w.header.HotFrames, p.hotPages = p.nextFrame, p.storedPages
	return nil
}

// placeHot places pages of the working set.
func (p *pipeline) placeHot(ctx context.Context, s *segment) error {
	if err := p.old.spoil(s); err != nil {
		return err
	}
	if err := p.lookUp(s); err != nil {
		return err
	}
	for i := range s.pageCount {
		if s.zero[i] {
			continue
		}
		page := s.firstPage + i
		if p.diff == nil || !p.diff.isParents(page/chunkPages) { // else nobody walks there
			p.placed.add(page, s.digests[i])
		}
		if err := p.place(ctx, s, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) placePages(ctx context.Context, s *segment) error {
	if err := p.old.look(s); err != nil {
		return err
	}
	if err := p.lookUp(s); err != nil {
		return err
	}
	for i := range s.pageCount {
		if s.zero[i] {
			continue
		}
		page := s.firstPage + i
		if err := p.inheritChunks(page); err != nil {
			return err
		}
		p.digester.addZeros(page)
		p.digester.add(s.digests[i])
		if p.hot != nil && p.hot.placed.has(page) {
			p.walked.add(page, s.digests[i])
			continue
		}
		if err := p.place(ctx, s, i); err != nil {
			return err
		}
	}
	return nil
}

// lookUp prepares to find what is inherited of a segment.
func (p *pipeline) lookUp(s *segment) error {
	if p.inherit == nil {
		return nil
	}
	return p.inherit.look(s)
}

// placeInherited puts a page down that an ancestor has.
func (p *pipeline) placeInherited(s *segment, i int64) (placed bool, err error) {
	if p.inherit == nil {
		return false, nil
	}
	ref, parentPage, found, err := p.inherit.find(s, i)
	if !found || err != nil {
		return false, err
	}
	page := s.firstPage + i
	if ref.Slot>>p.w.header.SlotBits != 0 {
		return false, corruptAt(wholeFile, "page %d is in slot %d, and no frame of the ancestors has so many", page, ref.Slot)
	}
	if int64(parentPage) != page {
		p.w.moved = append(p.w.moved, movedPage{uint32(page), parentPage})
	}
	p.inherited++
	return true, p.w.pages.set(page, ref.encode(p.w.header.SlotBits))
}

// place finds a place for a page and puts it down in the page map.
func (p *pipeline) place(ctx context.Context, s *segment, i int64) error {
	if placed, err := p.placeInherited(s, i); placed || err != nil {
		return err
	}
	entry, err := p.findPlace(ctx, s, i)
	if err != nil {
		return err
	}
	p.inFrames++
	return p.w.pages.set(s.firstPage+i, entry)
}

// findPlace returns the page map entry of a page: in a frame that is taken over,
// that of an equal page, or a new one.
func (p *pipeline) findPlace(ctx context.Context, s *segment, i int64) (uint32, error) {
	if ref, keeps := p.old.keeps(s, i); keeps {
		return p.takeOver(ctx, ref)
	}
	entry, found := p.dedup.find(s.digests[i])
	if found {
		return entry, nil
	}
	entry, err := p.storePage(ctx, s, i)
	if err != nil {
		return 0, err
	}
	p.dedup.add(s.digests[i], entry)
	return entry, nil
}

// storePage puts a page into the current frame and returns its page map entry.
func (p *pipeline) storePage(ctx context.Context, s *segment, i int64) (uint32, error) {
	if p.current == nil {
		f, err := p.newFrame(ctx)
		if err != nil {
			return 0, err
		}
		number, err := p.takeNumber()
		if err != nil {
			return 0, err
		}
		f.number, f.pages, f.hot, f.copied, f.digests = number, 0, s.hot, false, f.digests[:0]
		p.current = f
	}
	f := p.current
	ref := PageRef{Kind: PageInFrame, Frame: f.number, Slot: uint8(f.pages)}
	copy(f.raw[f.pages*PageBytes:], s.page(i))
	f.digests = append(f.digests, s.digests[i][:]...)
	f.pages++
	p.storedPages++
	if f.pages == p.framePages(s.hot) {
		if err := p.endFrame(ctx); err != nil {
			return 0, err
		}
	}
	return ref.encode(p.w.header.SlotBits), nil
}

func (p *pipeline) framePages(hot bool) int {
	if hot {
		return p.opt.HotFramePages
	}
	return p.opt.FramePages
}

// takeNumber returns the number of the next frame; those of ancestors come before.
// With frames of different sizes in one image, the numbers can run out.
func (p *pipeline) takeNumber() (uint32, error) {
	limit := int64(1) << (entryValueBits - p.w.header.SlotBits)
	number := p.w.header.InheritedFrames + p.nextFrame
	if number >= limit {
		return 0, findingAt(ErrLimit, wholeFile, "more than %d frames, the largest of which have %d pages; make the frames of the working set smaller or the others larger, or flatten the parent",
			limit, p.w.header.MaxPagesPerFrame())
	}
	p.nextFrame++
	return uint32(number), nil
}

func (p *pipeline) newFrame(ctx context.Context) (*frameJob, error) {
	f, _, err := receive(ctx, p.freeFrames)
	if err != nil {
		return nil, err
	}
	f.ready = make(chan struct{})
	return f, nil
}

// endFrame sends the current frame, if there is one, on, and those that wait
// behind it.
func (p *pipeline) endFrame(ctx context.Context) error {
	if f := p.current; f != nil {
		p.current = nil
		if err := p.sendFrame(ctx, f); err != nil {
			return err
		}
	}
	return p.sendCopies(ctx)
}

func (p *pipeline) sendFrame(ctx context.Context, f *frameJob) error {
	if err := send(ctx, p.compacted, f); err != nil {
		return err
	}
	return send(ctx, p.toPack, f)
}

func (p *pipeline) compress(ctx context.Context) error {
	packer, err := p.newFramePacker()
	if err != nil {
		return err
	}
	for {
		f, open, err := receive(ctx, p.toPack)
		if err != nil || !open {
			return err
		}
		if err := packer.pack(ctx, f); err != nil {
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

// framePacker makes entries and packed bytes of frames, and checks them. Each
// worker has one.
type framePacker struct {
	cold, hot           encoder
	coldCodec, hotCodec Codec
	check               frameChecker
	old                 *oldImage
}

func (p *pipeline) newFramePacker() (*framePacker, error) {
	deflate := deflateEncoder{engine: p.opt.Engine, tables: p.tables}
	packer := &framePacker{coldCodec: p.opt.Codec, hotCodec: p.opt.HotCodec, old: p.old}
	packer.check = frameChecker{
		decoder: decoder{p.opt.Engine}, tables: p.tables,
		raw: make([]byte, p.w.header.MaxPagesPerFrame()*PageBytes+SlackBytes),
	}
	var err error
	if packer.cold, err = newEncoder(p.opt.Codec, p.opt.Level, p.opt.FramePages*PageBytes, deflate); err != nil {
		return nil, err
	}
	if p.hot != nil {
		packer.hot, err = newEncoder(p.opt.HotCodec, p.opt.hotLevel(), p.opt.HotFramePages*PageBytes, deflate)
	}
	return packer, err
}

func (k *framePacker) pack(ctx context.Context, f *frameJob) error {
	if f.copied {
		return k.old.read(ctx, f, k.check.raw)
	}
	enc, codec := k.cold, k.coldCodec
	if f.hot {
		enc, codec = k.hot, k.hotCodec
	}
	if err := f.compress(enc, codec); err != nil {
		return err
	}
	return k.check.decodes(ctx, f)
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
		if err := p.w.appendFrame(f.entry, f.out, f.digests); err != nil {
			return err
		}
		if f.hot {
			p.hotPackedBytes += int64(len(f.out))
		}
		p.freeFrames <- f // has room for all frames: never waits
	}
}

func (p *pipeline) result(h Header) PackResult {
	result := PackResult{
		RawBytes: h.RawBytes, PackedBytes: h.FileBytes, PageCount: h.PageCount(),
		ZeroPages: h.ZeroPages, DuplicatePages: h.DuplicatePages, StoredPages: p.storedPages,
		Frames: h.FrameCount, RawFrames: p.rawFrames.Load(), SharedTableFrames: p.sharedFrames.Load(),
		Codec: p.opt.Codec.String(), Level: p.opt.Level.String(), FrameBytes: p.opt.FramePages * PageBytes,
		CopiedFrames: p.copiedFrames, UUID: h.UUID, Digest: h.Digest.String(),
		ParentPages: h.ParentPages, Depth: h.Depth,
	}
	if h.HasParent() {
		result.ParentUUID = h.Parent.UUID.String()
	}
	if p.hot != nil {
		result.WorkingSetPages, result.HotFrames, result.HotPages = p.hot.pages(), h.HotFrames, p.hotPages
		result.HotPackedBytes, result.HotCodec = p.hotPackedBytes, p.opt.HotCodec.String()
		result.HotFrameBytes = p.opt.HotFramePages * PageBytes
	}
	return result
}

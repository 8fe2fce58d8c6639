package store

import (
	"context"

	"sabrefs/iaa/huffman"
)

// oldImage is an image that is written anew. Its frames are taken over as they
// are, unless a page of one is moved to the working set or it belonged to the old
// one. Only the sequence stage uses it, but for read. A nil *oldImage has no
// frames.
type oldImage struct {
	img     *Image
	spoiled bitmap    // frames that are not taken over
	numbers []uint32  // by old number: the new one plus 1, or 0
	refs    []PageRef // of the segment that look or spoil was called with
}

// newOldImage relies on the open image, whose table of frames is as large as its
// header says.
func newOldImage(img *Image) *oldImage {
	return &oldImage{
		img: img, spoiled: newBitmap(img.header.FrameCount),
		numbers: make([]uint32, img.header.FrameCount), refs: make([]PageRef, segmentPages),
	}
}

// tables returns the shared tables that frames may need.
func (o *oldImage) tables() ([]huffman.Lengths, error) {
	if o == nil {
		return nil, nil
	}
	return o.img.SharedTables()
}

// look fills refs with the places of a segment's pages.
func (o *oldImage) look(s *segment) error {
	if o == nil {
		return nil
	}
	return o.img.Pages(s.firstPage, o.refs[:s.pageCount])
}

// spoil marks the frames of a segment's pages, which are moved.
func (o *oldImage) spoil(s *segment) error {
	if o == nil {
		return nil
	}
	if err := o.look(s); err != nil {
		return err
	}
	for _, ref := range o.refs[:s.pageCount] {
		if local := o.local(ref); local >= 0 {
			o.spoiled.set(local)
		}
	}
	return nil
}

// keeps returns where page i of a segment is, and whether its frame is taken over.
func (o *oldImage) keeps(s *segment, i int64) (ref PageRef, keeps bool) {
	if o == nil || s.hot {
		return PageRef{}, false
	}
	ref = o.refs[i]
	local := o.local(ref)
	return ref, local >= o.img.header.HotFrames && !o.spoiled.has(local)
}

// local is the number in the old image of the frame that a page is in, negative if
// the page is in none, or an ancestor has it.
func (o *oldImage) local(ref PageRef) int64 {
	if ref.Kind != PageInFrame {
		return -1
	}
	return int64(ref.Frame) - o.img.firstFrame
}

// read reads a frame that is taken over, and checks it in scratch.
func (o *oldImage) read(ctx context.Context, f *frameJob, scratch []byte) error {
	img := o.img
	entry, err := img.Frame(f.old)
	if err != nil {
		return err
	}
	f.entry, f.pages, f.out = entry, entry.Pages, f.packed[:entry.PackedLen]
	if _, err := img.file.ReadAt(f.out, entry.PackedOff); err != nil {
		return inFile(img.path, shortRead(err, entry.PackedOff))
	}
	table, err := entry.table()
	if err != nil {
		return inFile(img.path, err)
	}
	check := frameRead{entry: entry}
	check.finish(img.decoder.decode(ctx, entry.Codec, table, scratch[:entry.RawBytes()], f.out))
	f.digests = appendPageDigests(f.digests[:0], scratch[:entry.RawBytes()])
	return inFile(img.path, check.err)
}

// maxCopies is how many frames that are taken over may wait for the frame before
// them to become full: fewer would make many short frames, more would put its
// last pages far from their neighbors.
const maxCopies = 64

// takeOver returns the page map entry of a page in a frame that is taken over.
func (p *pipeline) takeOver(ctx context.Context, ref PageRef) (uint32, error) {
	number := &p.old.numbers[p.old.local(ref)]
	if *number == 0 {
		entry, err := p.old.img.Frame(ref.Frame)
		if err != nil {
			return 0, err
		}
		taken, err := p.takeNumber()
		if err != nil {
			return 0, err
		}
		*number = taken + 1
		p.storedPages += int64(entry.Pages)
		p.copiedFrames++
		p.copies = append(p.copies, ref.Frame)
		if p.current == nil || len(p.copies) == maxCopies {
			if err := p.endFrame(ctx); err != nil {
				return 0, err
			}
		}
	}
	ref.Frame = *number - 1
	return ref.encode(p.w.header.SlotBits), nil
}

// sendCopies sends the frames on that are taken over. They have no room of their
// own while they wait.
func (p *pipeline) sendCopies(ctx context.Context) error {
	for _, old := range p.copies {
		f, err := p.newFrame(ctx)
		if err != nil {
			return err
		}
		f.copied, f.hot, f.old = true, false, old
		if err := p.sendFrame(ctx, f); err != nil {
			return err
		}
	}
	p.copies = p.copies[:0]
	return nil
}

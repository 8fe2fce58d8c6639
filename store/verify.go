package store

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// VerifyResult says what Verify found in an intact image.
type VerifyResult struct {
	RawBytes    int64 `json:"raw_bytes"`
	PackedBytes int64 `json:"packed_bytes"`
	Frames      int64 `json:"frames"`
	// DeflateFrames are frames of DEFLATE, and AcceleratorFrames those of them
	// that Intel IAA decodes; any others are decoded in software everywhere.
	DeflateFrames     int64  `json:"deflate_frames"`
	AcceleratorFrames int64  `json:"accelerator_frames"`
	Digest            string `json:"digest"`
}

// Verify reads the whole image: every frame is decoded and compared with its
// checksum, every table entry checked, and the digest of the logical content
// computed and compared with the header's. A model of the accelerator decodes the
// DEFLATE frames too, and counts what a device would refuse, which is no error:
// software decodes it. progress, if not nil, is called from
// one goroutine with the raw bytes that are done.
func (img *Image) Verify(ctx context.Context, progress func(doneRawBytes int64)) (VerifyResult, error) {
	if err := img.checkReferences(ctx); err != nil {
		return VerifyResult{}, inFile(img.path, err)
	}
	if _, err := img.WorkingSet(); err != nil {
		return VerifyResult{}, err
	}
	if _, err := img.SharedTables(); err != nil {
		return VerifyResult{}, err
	}
	if _, err := img.ancestorPaths(); err != nil {
		return VerifyResult{}, inFile(img.path, err)
	}
	if err := img.checkMoved(ctx); err != nil {
		return VerifyResult{}, img.blame(err)
	}
	digests, err := newDigestCheck(ctx, img)
	if err != nil {
		return VerifyResult{}, err
	}
	err = img.walkContent(ctx, func(s *segment) error {
		if progress != nil {
			progress(s.endRawOff(img.header.RawBytes))
		}
		return digests.compare(s)
	})
	if err := errors.Join(err, digests.close()); err != nil {
		return VerifyResult{}, err
	}
	check := acceleratorCheck{img: img}
	if err := check.run(ctx); err != nil {
		return VerifyResult{}, inFile(img.path, err)
	}
	h := img.header
	return VerifyResult{
		RawBytes: h.RawBytes, PackedBytes: h.FileBytes, Frames: h.FrameCount, Digest: h.Digest.String(),
		DeflateFrames: check.deflate.Load(), AcceleratorFrames: check.readable.Load(),
	}, nil
}

// walkContent visits the data of the memory file in order and, at the end,
// compares the digest of what was visited with the header's.
func (img *Image) walkContent(ctx context.Context, visit func(*segment) error) error {
	group, ctx := errgroup.WithContext(ctx)
	src, err := newImageSource(ctx, img)
	if err != nil {
		return err
	}
	defer src.Close()
	digester := newContentDigester(img.header.RawBytes)
	stream := newSegmentStream(src, runtime.GOMAXPROCS(0))
	stream.start(ctx, group)
	group.Go(func() error {
		return stream.forEach(ctx, func(s *segment) error {
			digester.addSegment(s)
			return visit(s)
		})
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if got := digester.sum(); got != img.header.Digest {
		return inFile(img.path, corruptAt(hdrDigest, "content digest is %v, computed %v", img.header.Digest, got))
	}
	return nil
}

// checkReferences proves that every page names a slot that its frame has, that
// the counts of the header are right, and that every frame is used: a frame
// that no page names would be read by nobody, and hence never checked.
func (img *Image) checkReferences(ctx context.Context) error {
	usage := pageUsage{firstFrame: img.firstFrame, frames: newBitmap(img.header.FrameCount)}
	if err := usage.count(ctx, img); err != nil {
		return err
	}
	h := img.header
	if usage.zero != h.ZeroPages || usage.parent != h.ParentPages {
		return corruptAt(hdrZeroPages, "%d zero and %d parent pages, counted %d and %d",
			h.ZeroPages, h.ParentPages, usage.zero, usage.parent)
	}
	slots, err := img.countSlots(usage.frames)
	if err != nil {
		return err
	}
	if inFrames := h.PageCount() - usage.zero - usage.parent; inFrames-slots != h.DuplicatePages {
		return corruptAt(hdrDupPages, "%d duplicate pages, counted %d", h.DuplicatePages, inFrames-slots)
	}
	return nil
}

// checkMoved proves that every inherited page is where the image says that it is in
// the parent: that is where it is looked for if the parent is laid out anew.
func (img *Image) checkMoved(ctx context.Context) error {
	if img.parent == nil {
		return nil
	}
	refs := make([]PageRef, chunkPages)
	for first, count := int64(0), img.header.PageCount(); first < count; first += chunkPages {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := refs[:min(chunkPages, count-first)]
		if err := img.Pages(first, chunk); err != nil {
			return err
		}
		for i, ref := range chunk {
			if ref.Kind != PageInFrame || int64(ref.Frame) >= img.firstFrame {
				continue
			}
			if err := img.checkInherited(first+int64(i), ref); err != nil {
				return err
			}
		}
	}
	return nil
}

func (img *Image) checkInherited(page int64, ref PageRef) error {
	parentPage, err := img.parentPage(page)
	if err != nil {
		return err
	}
	var there [1]PageRef
	if err := img.parent.Pages(parentPage, there[:]); err != nil {
		return err
	}
	if there[0] != ref {
		return corruptAt(wholeFile, "page %d is not page %d of the parent", page, parentPage)
	}
	return nil
}

// digestCheck compares the page digests that an image keeps with those of its pages.
type digestCheck struct {
	img    *Image
	stored *storedDigests // nil if the image has none
	refs   []PageRef
}

func newDigestCheck(ctx context.Context, img *Image) (*digestCheck, error) {
	if _, err := img.chunkDigests(); err != nil {
		return nil, err
	}
	if img.section(SectionPageDigests).lenBytes == 0 {
		return &digestCheck{}, nil
	}
	stored, err := img.loadDigests(ctx)
	if err != nil {
		return nil, err
	}
	return &digestCheck{img, stored, make([]PageRef, segmentPages)}, nil
}

func (c *digestCheck) close() error {
	if c.stored == nil {
		return nil
	}
	return c.stored.close()
}

func (c *digestCheck) compare(s *segment) error {
	if c.stored == nil {
		return nil
	}
	if err := c.img.Pages(s.firstPage, c.refs[:s.pageCount]); err != nil {
		return err
	}
	return c.img.blame(guard(func() error {
		for i, ref := range c.refs[:s.pageCount] {
			local := int64(ref.Frame) - c.img.firstFrame
			if ref.Kind != PageInFrame || local < 0 {
				continue
			}
			if kept := c.stored.of(local, ref.Slot); !bytes.Equal(kept, s.digests[i][:]) {
				return corruptAt(c.img.section(SectionPageDigests).packedOff, "the digest of page %d is another", s.firstPage+int64(i))
			}
		}
		return nil
	}))
}

// pageUsage counts what the page map refers to.
type pageUsage struct {
	firstFrame   int64  // of the image: those before are inherited
	frames       bitmap // of the image
	zero, parent int64
}

func (u *pageUsage) count(ctx context.Context, img *Image) error {
	refs := make([]PageRef, chunkPages)
	for page, count := int64(0), img.header.PageCount(); page < count; page += chunkPages {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := refs[:min(chunkPages, count-page)]
		if err := img.Pages(page, chunk); err != nil {
			return err
		}
		for _, ref := range chunk {
			u.add(ref)
		}
	}
	return nil
}

func (u *pageUsage) add(ref PageRef) {
	switch ref.Kind {
	case PageZero:
		u.zero++
	case PageInFrame:
		if int64(ref.Frame) < u.firstFrame {
			u.parent++
		} else {
			u.frames.set(int64(ref.Frame) - u.firstFrame)
		}
	}
}

// countSlots sums the pages of all frames and refuses a frame that is unused.
func (img *Image) countSlots(used bitmap) (int64, error) {
	var slots int64
	for frame := range img.header.FrameCount {
		entry, err := img.Frame(uint32(img.firstFrame + frame))
		if err != nil {
			return 0, err
		}
		if !used.has(frame) {
			return 0, corruptAt(entry.PackedOff, "frame %d is used by no page", frame)
		}
		slots += int64(entry.Pages)
	}
	return slots, nil
}

// addSegment adds the pages of a segment and the zero pages before it.
func (d *contentDigester) addSegment(s *segment) {
	for i := range s.pageCount {
		if s.zero[i] {
			continue
		}
		d.addZeros(s.firstPage + i)
		d.add(s.digests[i])
	}
}

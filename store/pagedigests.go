package store

import (
	"bufio"
	"context"
	"errors"
	"hash/crc32"
	"io"
)

// pageDigestBytes is the size of a page digest. Half of it would do to find equal
// pages, but not to compute the digest of a content that is the parent's but for some
// pages, without reading all of the parent.
const pageDigestBytes = len(Digest{})

// digestSpool collects the digests of the pages of frames, in an unnamed file, so
// that the memory does not grow with the image.
type digestSpool struct {
	file unnamedFile
	out  *bufio.Writer
}

func newDigestSpool(dir string) (digestSpool, error) {
	file, err := createUnnamed(dir)
	if err != nil {
		return digestSpool{}, err
	}
	return digestSpool{file, bufio.NewWriter(file)}, nil
}

func (s *digestSpool) add(digests []byte) error {
	_, err := s.out.Write(digests)
	return err
}

func (s *digestSpool) writeTo(w io.Writer) error {
	if err := s.out.Flush(); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(s.file, 0, info.Size()))
	return err
}

func (s *digestSpool) close() error {
	if s.file.File == nil {
		return nil
	}
	return s.file.close()
}

// storedDigests are the digests of the pages in the frames of one image. They are
// those of the image's section, mapped, or computed if it has none.
type storedDigests struct {
	firstSlot []uint32 // by frame: the number of its first page among those of all frames
	table     mappedTable
	bytes     []byte // of the table, or on the heap
}

// loadDigests returns the digests of the pages that the image itself stores.
func (img *Image) loadDigests(ctx context.Context) (*storedDigests, error) {
	d := &storedDigests{firstSlot: make([]uint32, img.header.FrameCount+1)}
	total := uint32(0)
	for local := range img.header.FrameCount {
		entry, err := img.Frame(uint32(img.firstFrame + local))
		if err != nil {
			return nil, err
		}
		d.firstSlot[local] = total
		total += uint32(entry.Pages)
	}
	d.firstSlot[img.header.FrameCount] = total
	err := d.mapSection(img, int64(total)*int64(pageDigestBytes))
	if errors.Is(err, errNoDigests) {
		d.bytes = make([]byte, int64(total)*int64(pageDigestBytes))
		err = d.compute(ctx, img)
	}
	if err != nil {
		return nil, errors.Join(img.blame(err), d.close())
	}
	return d, nil
}

// errNoDigests says that an image has no page digests: a packer before this one
// wrote it.
var errNoDigests = errors.New("no page digests")

func (d *storedDigests) mapSection(img *Image, lenBytes int64) error {
	s := img.section(SectionPageDigests)
	if s.lenBytes == 0 && lenBytes != 0 {
		return errNoDigests
	}
	if s.lenBytes != lenBytes {
		return corruptAt(s.packedOff, "section %v has %d bytes, expected %d", s.kind, s.lenBytes, lenBytes)
	}
	var err error
	if d.table, err = mapTable(img.file, s.packedOff, s.lenBytes); err != nil {
		return err
	}
	d.bytes = d.table.bytes
	return guard(func() error {
		willRead(d.bytes)
		if got := crc32.ChecksumIEEE(d.bytes); got != s.crc32 {
			return corruptAt(s.packedOff, "section %v: checksum is %08x, computed %08x", s.kind, s.crc32, got)
		}
		return nil
	})
}

// compute decodes all frames of the image.
func (d *storedDigests) compute(ctx context.Context, img *Image) error {
	raw := make([]byte, MaxFrameBytes+SlackBytes)
	for local := range img.header.FrameCount {
		if err := ctx.Err(); err != nil {
			return err
		}
		entry, err := img.Frame(uint32(img.firstFrame + local))
		if err != nil {
			return err
		}
		frame := raw[:entry.RawBytes()]
		if err := img.ReadFrame(ctx, entry, frame); err != nil {
			return err
		}
		appendPageDigests(d.bytes[:int64(d.firstSlot[local])*int64(pageDigestBytes)], frame)
	}
	return nil
}

// appendPageDigests appends the digests of the pages of raw.
func appendPageDigests(digests, raw []byte) []byte {
	for ; len(raw) > 0; raw = raw[PageBytes:] {
		digest := pageDigest(raw[:PageBytes])
		digests = append(digests, digest[:]...)
	}
	return digests
}

// of returns the digest of a slot of a frame, given by its number in the image; nil
// if the frame has no such slot. It must run under guard.
func (d *storedDigests) of(local int64, slot uint8) []byte {
	at := d.firstSlot[local] + uint32(slot)
	if at >= d.firstSlot[local+1] {
		return nil
	}
	return d.bytes[int64(at)*int64(pageDigestBytes):][:pageDigestBytes]
}

func (d *storedDigests) close() error { return d.table.unmap() }

// chunkDigests returns the digests of the chunks of the content, nil if the image
// does not say. They are right if the digest of the image is.
func (img *Image) chunkDigests() ([]Digest, error) {
	chunks := chunksOf(img.header.PageCount())
	b, err := img.readOptional(SectionChunkDigests, chunks*int64(len(Digest{})))
	if err != nil || len(b) == 0 {
		return nil, inFile(img.path, err)
	}
	if int64(len(b)) != chunks*int64(len(Digest{})) || totalDigest(img.header.RawBytes, b) != img.header.Digest {
		return nil, inFile(img.path, corruptAt(img.section(SectionChunkDigests).packedOff, "the digests of the chunks do not make that of the content"))
	}
	digests := make([]Digest, chunks)
	for i := range digests {
		copy(digests[i][:], b[i*len(Digest{}):])
	}
	return digests, nil
}

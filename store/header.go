package store

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/google/uuid"
)

// magic begins every image. Its first byte is not ASCII and its last two are
// a line end, so that a transfer as text is noticed (as in PNG).
const magic = "\x89SABRE\r\n"

// Feature bits of the incompatible class: a reader that does not know a bit
// that is set must refuse the image.
const (
	// FeatureParent says that pages may live in a parent image.
	FeatureParent uint64 = 1 << 0
	// FeatureSharedTables says that DEFLATE frames may use the shared
	// Huffman tables of the image and then have no block header of their own.
	FeatureSharedTables uint64 = 1 << 1
)

// knownIncompat are the incompatible features that this build can read.
const knownIncompat = FeatureParent | FeatureSharedTables

// Byte offsets of the header's fields; docs/FORMAT.md holds the same table.
const (
	hdrMagic        = 0
	hdrVersion      = 8
	hdrBytes        = 12
	hdrCompat       = 16
	hdrROCompat     = 24
	hdrIncompat     = 32
	hdrUUID         = 40
	hdrDigest       = 56
	hdrRawBytes     = 88
	hdrPageBytes    = 96
	hdrSlotBits     = 100
	hdrFrameCount   = 104
	hdrZeroPages    = 112
	hdrDupPages     = 120
	hdrParentPages  = 128
	hdrCreated      = 136
	hdrHotFrames    = 144
	hdrSections     = 148
	hdrFramesOff    = 152
	hdrFramesBytes  = 160
	hdrFileBytes    = 168
	hdrParentUUID   = 176
	hdrParentDigest = 192
	hdrInherited    = 224
	hdrDepth        = 232
	hdrSectionTable = 256
	hdrCRC          = headerBytes - 4
)

// Identity names the content of an image.
type Identity struct {
	// UUID is new for every image that is written.
	UUID uuid.UUID
	// Digest is the digest of the logical content: equal for images of equal
	// memory, however they are laid out (see Digester).
	Digest Digest
}

// Header is the first 4 KiB of an image.
type Header struct {
	Version  uint32
	Compat   uint64
	ROCompat uint64
	Incompat uint64
	Identity
	RawBytes       int64
	SlotBits       uint8 // a frame has at most 1<<SlotBits pages
	FrameCount     int64
	ZeroPages      int64
	DuplicatePages int64
	ParentPages    int64
	CreatedAt      time.Time
	HotFrames      int64 // the first frames, which hold the working set
	FramesOff      int64 // packed offset of the first frame
	FramesBytes    int64
	FileBytes      int64
	Parent         Identity // zero without FeatureParent
	// Depth is the number of ancestors, and InheritedFrames that of their frames,
	// which come before the image's own in the numbering of a chain; 0 without
	// FeatureParent.
	Depth           int
	InheritedFrames int64
	sections        []section
}

// PageCount is the number of guest pages, the last of which may be partial.
func (h *Header) PageCount() int64 { return pagesOf(h.RawBytes) }

// HasParent reports whether pages of the image may be in a parent.
func (h *Header) HasParent() bool { return h.Incompat&FeatureParent != 0 }

// MaxPagesPerFrame is the number of pages in this image's largest frames.
func (h *Header) MaxPagesPerFrame() int { return 1 << h.SlotBits }

func pagesOf(rawBytes int64) int64 { return (rawBytes + PageBytes - 1) / PageBytes }

func chunksOf(pageCount int64) int64 { return (pageCount + chunkPages - 1) / chunkPages }

func blocksOf(frameCount int64) int64 { return (frameCount + blockFrames - 1) / blockFrames }

// encode returns the 4096 bytes of the header, checksum included.
func (h *Header) encode() []byte {
	b := make([]byte, headerBytes)
	le := binary.LittleEndian
	copy(b[hdrMagic:], magic)
	le.PutUint32(b[hdrVersion:], h.Version)
	le.PutUint32(b[hdrBytes:], headerBytes)
	le.PutUint64(b[hdrCompat:], h.Compat)
	le.PutUint64(b[hdrROCompat:], h.ROCompat)
	le.PutUint64(b[hdrIncompat:], h.Incompat)
	copy(b[hdrUUID:], h.UUID[:])
	copy(b[hdrDigest:], h.Digest[:])
	le.PutUint64(b[hdrRawBytes:], uint64(h.RawBytes))
	le.PutUint32(b[hdrPageBytes:], PageBytes)
	b[hdrSlotBits] = h.SlotBits
	le.PutUint64(b[hdrFrameCount:], uint64(h.FrameCount))
	le.PutUint64(b[hdrZeroPages:], uint64(h.ZeroPages))
	le.PutUint64(b[hdrDupPages:], uint64(h.DuplicatePages))
	le.PutUint64(b[hdrParentPages:], uint64(h.ParentPages))
	le.PutUint64(b[hdrCreated:], uint64(h.CreatedAt.UnixNano()))
	le.PutUint32(b[hdrHotFrames:], uint32(h.HotFrames))
	le.PutUint32(b[hdrSections:], uint32(len(h.sections)))
	le.PutUint64(b[hdrFramesOff:], uint64(h.FramesOff))
	le.PutUint64(b[hdrFramesBytes:], uint64(h.FramesBytes))
	le.PutUint64(b[hdrFileBytes:], uint64(h.FileBytes))
	copy(b[hdrParentUUID:], h.Parent.UUID[:])
	copy(b[hdrParentDigest:], h.Parent.Digest[:])
	le.PutUint64(b[hdrInherited:], uint64(h.InheritedFrames))
	le.PutUint32(b[hdrDepth:], uint32(h.Depth))
	encodeSections(b[hdrSectionTable:], h.sections)
	le.PutUint32(b[hdrCRC:], crc32.ChecksumIEEE(b[:hdrCRC]))
	return b
}

// parseHeader decodes and checks the first 4 KiB of an image of fileBytes
// bytes. What it returns is within the limits of the format and agrees with
// fileBytes; nothing else of the image has been read.
func parseHeader(b []byte, fileBytes int64) (*Header, error) {
	if err := checkPreamble(b); err != nil {
		return nil, err
	}
	h := decodeHeader(b)
	if err := h.checkFeatures(); err != nil {
		return nil, err
	}
	if h.FileBytes > fileBytes {
		return nil, findingAt(ErrTruncated, fileBytes, "the file has %d bytes of %d", fileBytes, h.FileBytes)
	}
	if h.FileBytes < fileBytes {
		return nil, corruptAt(h.FileBytes, "the file has %d bytes more than the image", fileBytes-h.FileBytes)
	}
	if err := h.checkCounts(); err != nil {
		return nil, err
	}
	sections, err := parseSections(b[hdrSectionTable:hdrCRC], binary.LittleEndian.Uint32(b[hdrSections:]), h)
	if err != nil {
		return nil, err
	}
	h.sections = sections
	return h, nil
}

// checkPreamble answers, before any other field is believed, whether this is
// an image, of a known version, with an intact header.
func checkPreamble(b []byte) error {
	le := binary.LittleEndian
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return findingAt(ErrNotImage, hdrMagic, "wrong magic bytes")
	}
	if len(b) < headerBytes {
		return findingAt(ErrTruncated, int64(len(b)), "the header has %d bytes of %d", len(b), headerBytes)
	}
	// The version stands before the checksum, so that a newer layout is
	// reported as what it is and not as damage.
	if v := le.Uint32(b[hdrVersion:]); v == 0 || v > FormatVersion {
		return findingAt(ErrVersion, hdrVersion, "version %d, this build reads up to %d", v, FormatVersion)
	}
	if want, got := le.Uint32(b[hdrCRC:]), crc32.ChecksumIEEE(b[:hdrCRC]); want != got {
		return corruptAt(hdrCRC, "header checksum is %08x, computed %08x", want, got)
	}
	if n := le.Uint32(b[hdrBytes:]); n != headerBytes {
		return corruptAt(hdrBytes, "header size %d, expected %d", n, headerBytes)
	}
	if n := le.Uint32(b[hdrPageBytes:]); n != PageBytes {
		return findingAt(ErrFeature, hdrPageBytes, "page size %d, this build reads %d", n, PageBytes)
	}
	return nil
}

func decodeHeader(b []byte) *Header {
	le := binary.LittleEndian
	h := &Header{
		Version:        le.Uint32(b[hdrVersion:]),
		Compat:         le.Uint64(b[hdrCompat:]),
		ROCompat:       le.Uint64(b[hdrROCompat:]),
		Incompat:       le.Uint64(b[hdrIncompat:]),
		RawBytes:       int64(le.Uint64(b[hdrRawBytes:])),
		SlotBits:       b[hdrSlotBits],
		FrameCount:     int64(le.Uint64(b[hdrFrameCount:])),
		ZeroPages:      int64(le.Uint64(b[hdrZeroPages:])),
		DuplicatePages: int64(le.Uint64(b[hdrDupPages:])),
		ParentPages:    int64(le.Uint64(b[hdrParentPages:])),
		CreatedAt:      time.Unix(0, int64(le.Uint64(b[hdrCreated:]))).UTC(),
		HotFrames:      int64(le.Uint32(b[hdrHotFrames:])),
		FramesOff:      int64(le.Uint64(b[hdrFramesOff:])),
		FramesBytes:    int64(le.Uint64(b[hdrFramesBytes:])),
		FileBytes:      int64(le.Uint64(b[hdrFileBytes:])),
	}
	if h.HasParent() { // else reserved
		h.InheritedFrames = int64(le.Uint64(b[hdrInherited:]))
		h.Depth = int(le.Uint32(b[hdrDepth:]))
	}
	copy(h.UUID[:], b[hdrUUID:])
	copy(h.Digest[:], b[hdrDigest:])
	copy(h.Parent.UUID[:], b[hdrParentUUID:])
	copy(h.Parent.Digest[:], b[hdrParentDigest:])
	return h
}

// checkFeatures refuses what this build cannot read. Unknown bits of the two
// other classes do not matter to a reader that never modifies an image.
func (h *Header) checkFeatures() error {
	if unknown := h.Incompat &^ knownIncompat; unknown != 0 {
		return findingAt(ErrFeature, hdrIncompat, "unknown incompatible flags %#x", unknown)
	}
	return nil
}

// checkCounts bounds every number that sizes something.
func (h *Header) checkCounts() error {
	if h.RawBytes < 0 || h.RawBytes > MaxRawBytes {
		return corruptAt(hdrRawBytes, "raw size %d, at most %d", uint64(h.RawBytes), MaxRawBytes)
	}
	if h.SlotBits > 6 {
		return corruptAt(hdrSlotBits, "frames of 2^%d pages, at most %d", h.SlotBits, MaxFramePages)
	}
	if h.FrameCount < 0 || h.FrameCount > min(h.PageCount(), 1<<(entryValueBits-h.SlotBits)) {
		return corruptAt(hdrFrameCount, "%d frames for %d pages", uint64(h.FrameCount), h.PageCount())
	}
	if limit := int64(1) << (entryValueBits - h.SlotBits); h.InheritedFrames < 0 || h.InheritedFrames > limit-h.FrameCount {
		return corruptAt(hdrInherited, "%d inherited frames and %d own ones, at most %d", uint64(h.InheritedFrames), h.FrameCount, limit)
	}
	if h.HasParent() && h.Depth < 1 {
		return corruptAt(hdrDepth, "a child without ancestors")
	}
	if h.Depth > MaxDepth {
		return findingAt(ErrLimit, hdrDepth, "%d ancestors, at most %d", h.Depth, MaxDepth)
	}
	if h.HotFrames > h.FrameCount {
		return corruptAt(hdrHotFrames, "%d working set frames of %d", h.HotFrames, h.FrameCount)
	}
	if h.FileBytes < headerBytes+SlackBytes+trailerBytes || h.FileBytes > maxPackedBytes {
		return corruptAt(hdrFileBytes, "image size %d", uint64(h.FileBytes))
	}
	if h.FramesOff != headerBytes || h.FramesBytes < 0 || h.FramesBytes > h.FileBytes-headerBytes-SlackBytes-trailerBytes {
		return corruptAt(hdrFramesOff, "frames at %d, %d bytes, in an image of %d", uint64(h.FramesOff), uint64(h.FramesBytes), h.FileBytes)
	}
	for _, n := range []int64{h.ZeroPages, h.DuplicatePages, h.ParentPages} {
		if n < 0 || n > h.PageCount() {
			return corruptAt(hdrZeroPages, "a page count of %d in an image of %d pages", uint64(n), h.PageCount())
		}
	}
	return nil
}

package store

import (
	"encoding/binary"
	"fmt"
)

// SectionType says what a section of an image holds. A reader ignores types
// that it does not know: what it must not ignore has an incompatible flag.
type SectionType uint32

// The sections of version 1.
const (
	// SectionPageDirectory has one entry per chunk of 4096 pages.
	SectionPageDirectory SectionType = 1
	// SectionPageMap has the stored chunks, 4096 entries of 4 bytes each.
	SectionPageMap SectionType = 2
	// SectionFrameTable has one entry of 16 bytes per frame.
	SectionFrameTable SectionType = 3
	// SectionFrameChecksums has the CRC-32 of each 1024 frame table entries.
	SectionFrameChecksums SectionType = 4
	// SectionWorkingSet has the recorded working set as runs of pages.
	SectionWorkingSet SectionType = 5
	// SectionSharedTables has the shared Huffman tables.
	SectionSharedTables SectionType = 6
	// SectionParentPath has the path of the parent relative to the image.
	SectionParentPath SectionType = 7
	// SectionLayers has the UUID and the number of frames of each ancestor.
	SectionLayers SectionType = 8
	// SectionMovedPages has the pages that are another page of the parent.
	SectionMovedPages SectionType = 9
	// SectionPageDigests has 16 bytes for each page of the image's frames.
	SectionPageDigests SectionType = 10
	// SectionChunkDigests has the digest of each chunk of the content.
	SectionChunkDigests SectionType = 11
	// SectionAncestorPaths has the paths of the parent's ancestors.
	SectionAncestorPaths SectionType = 12
)

// String returns the name that docs/FORMAT.md uses.
func (t SectionType) String() string {
	names := [...]string{1: "page-directory", 2: "page-map", 3: "frame-table", 4: "frame-checksums",
		5: "working-set", 6: "shared-tables", 7: "parent-path", 8: "layers", 9: "moved-pages", 10: "page-digests", 11: "chunk-digests", 12: "ancestor-paths"}
	if t >= 1 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("section-%d", uint32(t))
}

const (
	sectionEntryBytes = 32
	maxSections       = 64
)

// section is an entry of the header's section table.
type section struct {
	kind SectionType
	// crc32 covers the section's bytes. It is zero for the page map and the
	// frame table, whose parts have checksums of their own.
	crc32     uint32
	packedOff int64
	lenBytes  int64
}

// SectionInfo tells where a section of an image lies.
type SectionInfo struct {
	Name      string `json:"name"`
	PackedOff int64  `json:"packed_off"`
	LenBytes  int64  `json:"len_bytes"`
}

// Sections returns the sections in the order of the header.
func (h *Header) Sections() []SectionInfo {
	infos := make([]SectionInfo, len(h.sections))
	for i, s := range h.sections {
		infos[i] = SectionInfo{s.kind.String(), s.packedOff, s.lenBytes}
	}
	return infos
}

// TableBytes is what the page map and the frame table take, with their
// directory and checksums.
func (h *Header) TableBytes() int64 {
	var total int64
	for _, s := range h.sections {
		if s.kind >= SectionPageDirectory && s.kind <= SectionFrameChecksums {
			total += s.lenBytes
		}
	}
	return total
}

func encodeSections(b []byte, sections []section) {
	le := binary.LittleEndian
	for i, s := range sections {
		e := b[i*sectionEntryBytes:]
		le.PutUint32(e[0:], uint32(s.kind))
		le.PutUint32(e[4:], s.crc32)
		le.PutUint64(e[8:], uint64(s.packedOff))
		le.PutUint64(e[16:], uint64(s.lenBytes))
	}
}

// parseSections reads the section table and proves that each section lies
// between the frames and the trailer, and that the tables which every image
// needs are there with sizes that agree with the header.
func parseSections(b []byte, count uint32, h *Header) ([]section, error) {
	if count > maxSections {
		return nil, corruptAt(hdrSections, "%d sections, at most %d", count, maxSections)
	}
	le := binary.LittleEndian
	sections := make([]section, count)
	for i := range sections {
		e := b[i*sectionEntryBytes:]
		s := section{kind: SectionType(le.Uint32(e)), crc32: le.Uint32(e[4:]),
			packedOff: int64(le.Uint64(e[8:])), lenBytes: int64(le.Uint64(e[16:]))}
		if err := s.check(h, hdrSectionTable+int64(i)*sectionEntryBytes); err != nil {
			return nil, err
		}
		sections[i] = s
	}
	if err := checkApart(sections); err != nil {
		return nil, err
	}
	return sections, checkRequiredSections(sections, h)
}

// checkApart proves that no byte belongs to two sections and that no kind
// occurs twice.
func checkApart(sections []section) error {
	for i, s := range sections {
		for _, other := range sections[:i] {
			if s.kind == other.kind {
				return corruptAt(hdrSectionTable, "section %v occurs twice", s.kind)
			}
			if s.packedOff < other.packedOff+other.lenBytes && other.packedOff < s.packedOff+s.lenBytes {
				return corruptAt(hdrSectionTable, "sections %v and %v overlap", other.kind, s.kind)
			}
		}
	}
	return nil
}

func (s section) check(h *Header, entryOff int64) error {
	lowest, end := h.FramesOff+h.FramesBytes+SlackBytes, h.FileBytes-trailerBytes
	if s.packedOff < lowest || s.lenBytes < 0 || s.packedOff > end || s.lenBytes > end-s.packedOff {
		return corruptAt(entryOff, "section %v at %d, %d bytes, is outside %d to %d",
			s.kind, uint64(s.packedOff), uint64(s.lenBytes), lowest, end)
	}
	if s.packedOff%tableAlignBytes != 0 {
		return corruptAt(entryOff, "section %v at %d is not aligned", s.kind, s.packedOff)
	}
	return nil
}

func checkRequiredSections(sections []section, h *Header) error {
	exact := map[SectionType]int64{
		SectionPageDirectory:  chunksOf(h.PageCount()) * dirEntryBytes,
		SectionFrameTable:     h.FrameCount * frameEntryBytes,
		SectionFrameChecksums: blocksOf(h.FrameCount) * 4,
	}
	for kind, want := range exact {
		s, err := findSection(sections, kind)
		if err != nil {
			return err
		}
		if s.lenBytes != want {
			return corruptAt(s.packedOff, "section %v has %d bytes, expected %d", kind, s.lenBytes, want)
		}
	}
	s, err := findSection(sections, SectionPageMap)
	if err != nil {
		return err
	}
	if s.lenBytes%chunkBytes != 0 || s.lenBytes/chunkBytes > chunksOf(h.PageCount()) {
		return corruptAt(s.packedOff, "page map of %d bytes for %d pages", s.lenBytes, h.PageCount())
	}
	return nil
}

func findSection(sections []section, kind SectionType) (section, error) {
	for _, s := range sections {
		if s.kind == kind {
			return s, nil
		}
	}
	return section{}, corruptAt(hdrSectionTable, "section %v is missing", kind)
}

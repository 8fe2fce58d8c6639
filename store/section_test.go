package store

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"
)

// changeSection returns a change of a 64-bit field of a section's entry.
func changeSection(kind SectionType, fieldOff int, v uint64) func([]byte) {
	return func(image []byte) { binary.LittleEndian.PutUint64(sectionEntry(image, kind)[fieldOff:], v) }
}

func renameSection(from, to SectionType) func([]byte) {
	return func(image []byte) { binary.LittleEndian.PutUint32(sectionEntry(image, from), uint32(to)) }
}

const (
	sectionOffField = 8
	sectionLenField = 16
)

// TestSectionRefusals fits all checksums after each change: the claims of the
// section table have checks of their own.
func TestSectionRefusals(t *testing.T) {
	size := uint64(len(goldenImage(t)))
	mapOff := binary.LittleEndian.Uint64(sectionEntry(goldenImage(t), SectionPageMap)[sectionOffField:])
	for _, c := range []spoiled{
		{"in the frames", changeSection(SectionWorkingSet, sectionOffField, 2*headerBytes), ErrCorrupt},
		{"behind the end", changeSection(SectionWorkingSet, sectionOffField, size+1<<20), ErrCorrupt},
		{"in the trailer", func(b []byte) {
			changeSection(SectionWorkingSet, sectionOffField, size&^(tableAlignBytes-1))(b)
			changeSection(SectionWorkingSet, sectionLenField, tableAlignBytes)(b)
		}, ErrCorrupt},
		{"negative offset", changeSection(SectionWorkingSet, sectionOffField, 1<<63), ErrCorrupt},
		{"negative length", changeSection(SectionWorkingSet, sectionLenField, 1<<63), ErrCorrupt},
		{"offset and length overflow", changeSection(SectionWorkingSet, sectionLenField, 1<<63-1), ErrCorrupt},
		{"not aligned", func(b []byte) {
			workingSetOff := binary.LittleEndian.Uint64(sectionEntry(b, SectionWorkingSet)[sectionOffField:])
			changeSection(SectionWorkingSet, sectionOffField, workingSetOff+8)(b)
		}, ErrCorrupt},
		{"over another", changeSection(SectionWorkingSet, sectionOffField, mapOff), ErrCorrupt},
		{"all of another", changeSection(SectionFrameTable, sectionOffField, mapOff), ErrCorrupt},
		{"directory too long", changeSection(SectionPageDirectory, sectionLenField, 32), ErrCorrupt},
		{"frame table too short", changeSection(SectionFrameTable, sectionLenField, 16), ErrCorrupt},
		{"checksums missing", changeSection(SectionFrameChecksums, sectionLenField, 0), ErrCorrupt},
		{"page map of half a chunk", changeSection(SectionPageMap, sectionLenField, chunkBytes/2), ErrCorrupt},
		{"no directory", renameSection(SectionPageDirectory, 99), ErrCorrupt},
		{"no page map", renameSection(SectionPageMap, 99), ErrCorrupt},
		{"no frame table", renameSection(SectionFrameTable, 99), ErrCorrupt},
		{"no frame checksums", renameSection(SectionFrameChecksums, 99), ErrCorrupt},
		{"two frame tables", renameSection(SectionWorkingSet, SectionFrameTable), ErrCorrupt},
		{"two working sets", renameSection(SectionSharedTables, SectionWorkingSet), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := goldenImage(t)
			c.spoil(image)
			reseal(image)
			wantOpenRefuses(t, image, c.class)
		})
	}
}

// TestUnknownSectionIsIgnored checks what lets later writers add a section
// without a new version.
func TestUnknownSectionIsIgnored(t *testing.T) {
	image := goldenImage(t)
	renameSection(SectionWorkingSet, 4711)(image)
	reseal(image)
	path := writeFile(t, filepath.Join(t.TempDir(), "future.sabre"), image)
	wantContent(t, path, goldenMemory())
	h := openImage(t, path).Header()
	names := make([]string, 0, len(h.Sections()))
	for _, s := range h.Sections() {
		names = append(names, s.Name)
	}
	wantEqual(t, "the unknown section is listed", slices.Contains(names, "section-4711"), true)
}

// TestRequiredSections checks the sizes alone, wherever the sections lie.
func TestRequiredSections(t *testing.T) {
	h := &Header{RawBytes: 2*chunkRawBytes + 1, FrameCount: blockFrames + 1}
	good := map[SectionType]int64{
		SectionPageDirectory: 3 * dirEntryBytes, SectionPageMap: 3 * chunkBytes,
		SectionFrameTable: (blockFrames + 1) * frameEntryBytes, SectionFrameChecksums: 8,
	}
	list := func(changed SectionType, lenBytes int64) (sections []section) {
		for kind, n := range good {
			if kind == changed {
				n = lenBytes
			}
			sections = append(sections, section{kind: kind, lenBytes: n})
		}
		return sections
	}
	wantNoError(t, checkRequiredSections(list(0, 0), h))
	for stored := range int64(4) {
		wantNoError(t, checkRequiredSections(list(SectionPageMap, stored*chunkBytes), h))
	}
	for kind, lenBytes := range good {
		for _, bad := range []int64{lenBytes + 1, lenBytes - 1, lenBytes + chunkBytes} {
			wantClass(t, checkRequiredSections(list(kind, bad), h), ErrCorrupt)
		}
	}
}

// TestSectionChecksums checks for every section that a damaged byte in it is
// found by whoever uses it.
func TestSectionChecksums(t *testing.T) {
	for _, kind := range []SectionType{
		SectionPageDirectory, SectionPageMap, SectionFrameTable,
		SectionFrameChecksums, SectionWorkingSet, SectionSharedTables,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			image := goldenImage(t)
			sectionBytes(image, kind)[1] ^= 0x80
			path := writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image)
			img, err := Open(path, OpenOptions{})
			if kind == SectionPageDirectory || kind == SectionFrameChecksums {
				wantClass(t, err, ErrCorrupt)
				return
			}
			wantNoError(t, err)
			defer img.Close()
			_, err = img.Verify(t.Context(), nil)
			wantClass(t, err, ErrCorrupt)
		})
	}
}

func TestTableBytes(t *testing.T) {
	h := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t))).Header()
	wantEqual(t, "bytes of the tables", h.TableBytes(), dirEntryBytes+chunkBytes+2*frameEntryBytes+4)
}

// TestHandedOutSectionsAreCopies checks that Header cannot be used to change an
// open image.
func TestHandedOutSectionsAreCopies(t *testing.T) {
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t)))
	change := func(h Header) int64 {
		h.RawBytes, h.SlotBits = 1, 6
		return h.RawBytes + int64(h.SlotBits)
	}
	wantEqual(t, "changed copy", change(img.Header()), 7)
	wantEqual(t, "raw size", img.RawBytes(), goldenRawBytes)
	wantEqual(t, "largest frame", img.header.MaxPagesPerFrame(), 2)
}

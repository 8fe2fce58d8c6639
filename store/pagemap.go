package store

import "encoding/binary"

// PageKind says where the bytes of a page are.
type PageKind uint8

// The kinds of a page map entry: its two highest bits. No kind is zero: where a
// table was lost (a hole, the rest of a page behind the end of a truncated file)
// there are zeros, and these must not pass for pages of zeros.
const (
	// PageInFrame is a page in a slot of a frame, of this image or of an ancestor.
	PageInFrame PageKind = 1
	// PageZero is a page of zeros. It takes no space.
	PageZero PageKind = 3
)

// PageRef is a decoded page map entry.
type PageRef struct {
	Kind PageKind
	Slot uint8 // for PageInFrame
	// Frame is a number of the chain: those of ancestors come before the image's own.
	Frame uint32
}

const (
	entryValueMask = 1<<entryValueBits - 1
	// zeroPageEntry is the page map entry of a page of zeros.
	zeroPageEntry = uint32(PageZero) << entryValueBits
)

// encode packs the reference into a page map entry: kind in bits 30 and 31,
// below it the frame and, in the lowest slotBits bits, the slot.
func (r PageRef) encode(slotBits uint8) uint32 {
	if r.Kind != PageInFrame {
		return zeroPageEntry
	}
	return uint32(PageInFrame)<<entryValueBits | r.Frame<<slotBits | uint32(r.Slot)
}

// decodePageRef unpacks an entry. The frame is below frameCount in what it
// returns without an error; whether the frame has that slot only the frame
// table knows.
func decodePageRef(e uint32, slotBits uint8, frameCount int64) (PageRef, error) {
	value := e & entryValueMask
	switch PageKind(e >> entryValueBits) {
	case PageZero:
		if value != 0 {
			return PageRef{}, corruptAt(wholeFile, "page map entry %08x: a zero page with a value", e)
		}
		return PageRef{Kind: PageZero}, nil
	case PageInFrame:
		r := PageRef{Kind: PageInFrame, Frame: value >> slotBits, Slot: uint8(value & (1<<slotBits - 1))}
		if int64(r.Frame) >= frameCount {
			return PageRef{}, corruptAt(wholeFile, "page map entry %08x: frame %d of %d", e, r.Frame, frameCount)
		}
		return r, nil
	default:
		return PageRef{}, corruptAt(wholeFile, "page map entry %08x: unknown kind", e)
	}
}

// chunkKind says how a chunk of the page map (4096 pages) is kept.
type chunkKind uint16

const (
	chunkZero      chunkKind = 0 // every page is zero
	chunkInherited chunkKind = 1 // the entries are those of the same chunk of an ancestor
	chunkStored    chunkKind = 2 // the entries are in the page map section
)

// dirEntry is an entry of the page directory.
type dirEntry struct {
	kind   chunkKind
	layer  uint16 // depth of the ancestor that stores the chunk, if inherited
	crc32  uint32 // of the 16 KiB of entries, if stored
	stored uint64 // ordinal of the chunk in the page map section, if stored
}

func (d dirEntry) encode(b []byte) {
	binary.LittleEndian.PutUint16(b, uint16(d.kind))
	binary.LittleEndian.PutUint16(b[2:], d.layer)
	binary.LittleEndian.PutUint32(b[4:], d.crc32)
	binary.LittleEndian.PutUint64(b[8:], d.stored)
}

// decodeDirEntry reads an entry of an image with so many stored chunks and so many
// ancestors.
func decodeDirEntry(b []byte, storedChunks int64, depth int) (dirEntry, error) {
	d := dirEntry{
		kind:   chunkKind(binary.LittleEndian.Uint16(b)),
		layer:  binary.LittleEndian.Uint16(b[2:]),
		crc32:  binary.LittleEndian.Uint32(b[4:]),
		stored: binary.LittleEndian.Uint64(b[8:]),
	}
	if d.kind > chunkStored {
		return d, corruptAt(wholeFile, "page directory: unknown chunk kind %d", d.kind)
	}
	if d.kind != chunkInherited && d.layer != 0 || d.kind == chunkInherited && int(d.layer) >= depth {
		return d, corruptAt(wholeFile, "page directory: a chunk of kind %d in layer %d of %d", d.kind, d.layer, depth)
	}
	if d.kind == chunkStored && d.stored >= uint64(storedChunks) {
		return d, corruptAt(wholeFile, "page directory: chunk %d of %d", d.stored, storedChunks)
	}
	return d, nil
}

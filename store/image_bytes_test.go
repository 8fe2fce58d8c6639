package store

import (
	"encoding/binary"
	"hash/crc32"
	"runtime"
)

// reseal makes every checksum of an image fit again after a test changed
// bytes, so that the check which fires is the one behind the checksums. What
// lies outside the image it leaves alone.
func reseal(image []byte) {
	if len(image) < headerBytes+trailerBytes {
		return
	}
	le := binary.LittleEndian
	frames := sectionBytes(image, SectionFrameTable)
	blocks := sectionBytes(image, SectionFrameChecksums)
	for i := 0; i*blockBytes < len(frames) && (i+1)*4 <= len(blocks); i++ {
		le.PutUint32(blocks[i*4:], crc32.ChecksumIEEE(frames[i*blockBytes:min((i+1)*blockBytes, len(frames))]))
	}
	chunks, directory := sectionBytes(image, SectionPageMap), sectionBytes(image, SectionPageDirectory)
	for ; len(directory) >= dirEntryBytes; directory = directory[dirEntryBytes:] {
		stored := le.Uint64(directory[8:])
		if chunkKind(le.Uint32(directory)) == chunkStored && stored < uint64(len(chunks)/chunkBytes) {
			le.PutUint32(directory[4:], crc32.ChecksumIEEE(chunks[stored*chunkBytes:][:chunkBytes]))
		}
	}
	resealSections(image)
	resealHeader(image)
}

func resealSections(image []byte) {
	for i := range min(binary.LittleEndian.Uint32(image[hdrSections:]), maxSections) {
		e := image[hdrSectionTable+i*sectionEntryBytes:]
		kind := SectionType(binary.LittleEndian.Uint32(e))
		if kind == SectionPageMap || kind == SectionFrameTable {
			continue
		}
		if b := rangeOf(image, e); b != nil {
			binary.LittleEndian.PutUint32(e[4:], crc32.ChecksumIEEE(b))
		}
	}
}

// resealHeader fits the header's checksum and the trailer.
func resealHeader(image []byte) {
	le := binary.LittleEndian
	le.PutUint32(image[hdrCRC:], crc32.ChecksumIEEE(image[:hdrCRC]))
	copy(image[len(image)-trailerBytes:], encodeTrailer(decodeHeader(image), image[:headerBytes]))
}

// rangeOf returns the bytes of a section entry, or nil if there are none.
func rangeOf(image, entry []byte) []byte {
	off, n := binary.LittleEndian.Uint64(entry[8:]), binary.LittleEndian.Uint64(entry[16:])
	if off > uint64(len(image)) || n > uint64(len(image))-off {
		return nil
	}
	return image[off : off+n]
}

func sectionBytes(image []byte, kind SectionType) []byte {
	if entry := sectionEntry(image, kind); entry != nil {
		return rangeOf(image, entry)
	}
	return nil
}

// sectionEntry returns the entry of a section in the header.
func sectionEntry(image []byte, kind SectionType) []byte {
	for i := range min(binary.LittleEndian.Uint32(image[hdrSections:]), maxSections) {
		e := image[hdrSectionTable+i*sectionEntryBytes:][:sectionEntryBytes]
		if SectionType(binary.LittleEndian.Uint32(e)) == kind {
			return e
		}
	}
	return nil
}

// allocatedBy returns how many bytes f allocates, and whatever else runs.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

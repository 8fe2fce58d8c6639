package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Frame returns an entry of the frame table.
func (img *Image) Frame(frame uint32) (FrameEntry, error) {
	var entry FrameEntry
	err := guard(func() (err error) {
		entry, err = img.frameEntry(frame)
		return err
	})
	return entry, inFile(img.path, err)
}

// frameEntry reads the frame table; it must run under guard.
func (img *Image) frameEntry(frame uint32) (FrameEntry, error) {
	if int64(frame) >= img.header.FrameCount {
		return FrameEntry{}, corruptAt(wholeFile, "frame %d of %d", frame, img.header.FrameCount)
	}
	if err := img.checkBlock(int64(frame) / blockFrames); err != nil {
		return FrameEntry{}, err
	}
	return decodeFrameEntry(img.frames.bytes[int64(frame)*frameEntryBytes:], img.header)
}

// checkBlock compares a block of the frame table with its checksum when it is
// first used. Two goroutines may both do so; that is harmless.
func (img *Image) checkBlock(block int64) error {
	if img.blockChecked.has(block) {
		return nil
	}
	b := img.frames.bytes[block*blockBytes:]
	b = b[:min(len(b), blockBytes)]
	willRead(b)
	if want, got := binary.LittleEndian.Uint32(img.blockCRCs[block*4:]), crc32.ChecksumIEEE(b); want != got {
		return corruptAt(img.section(SectionFrameTable).packedOff+block*blockBytes,
			"frame table: checksum is %08x, computed %08x", want, got)
	}
	img.blockChecked.set(block)
	return nil
}

// chunk returns the directory entry of a chunk and, for a stored one, its
// entries, which are mapped: use them under guard.
func (img *Image) chunk(chunk int64) (dirEntry, []byte, error) {
	stored := int64(len(img.pageMap.bytes) / chunkBytes)
	d, err := decodeDirEntry(img.directory[chunk*dirEntryBytes:], stored)
	if err != nil || d.kind != chunkStored {
		return d, nil, err
	}
	entries := img.pageMap.bytes[d.stored*chunkBytes:][:chunkBytes]
	if img.chunkChecked.has(int64(d.stored)) {
		return d, entries, nil
	}
	willRead(entries)
	if got := crc32.ChecksumIEEE(entries); got != d.crc32 {
		return d, nil, corruptAt(img.section(SectionPageMap).packedOff+int64(d.stored)*chunkBytes,
			"page map: checksum is %08x, computed %08x", d.crc32, got)
	}
	img.chunkChecked.set(int64(d.stored))
	return d, entries, nil
}

// Pages fills refs with the places of the pages from firstPage on.
func (img *Image) Pages(firstPage int64, refs []PageRef) error {
	if firstPage < 0 || int64(len(refs)) > img.header.PageCount()-firstPage {
		return fmt.Errorf("%s: pages %d to %d of %d: %w", img.path, firstPage, firstPage+int64(len(refs)), img.header.PageCount(), ErrOption)
	}
	err := guard(func() error {
		for page := firstPage; len(refs) > 0; {
			inChunk := int(min(int64(len(refs)), chunkPages-page%chunkPages))
			if err := img.pagesOfChunk(page, refs[:inChunk]); err != nil {
				return err
			}
			page, refs = page+int64(inChunk), refs[inChunk:]
		}
		return nil
	})
	return inFile(img.path, err)
}

// pagesOfChunk looks up pages of one chunk; it must run under guard.
func (img *Image) pagesOfChunk(firstPage int64, refs []PageRef) error {
	d, entries, err := img.chunk(firstPage / chunkPages)
	if err != nil {
		return err
	}
	switch d.kind {
	case chunkZero:
		for i := range refs {
			refs[i] = PageRef{Kind: PageZero}
		}
	case chunkParent:
		for i := range refs {
			refs[i] = PageRef{Kind: PageInParent, ParentPage: uint32(firstPage) + uint32(i)}
		}
	case chunkStored:
		entries = entries[firstPage%chunkPages*mapEntryBytes:]
		for i := range refs {
			entry := binary.LittleEndian.Uint32(entries[i*mapEntryBytes:])
			if refs[i], err = decodePageRef(entry, img.header.SlotBits, img.header.FrameCount); err != nil {
				return err
			}
		}
	}
	return nil
}

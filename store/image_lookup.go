package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Frame returns an entry of the frame table, of the image or of an ancestor.
func (img *Image) Frame(frame uint32) (FrameEntry, error) {
	var entry FrameEntry
	layer, local := img.layerOf(frame)
	err := guard(func() (err error) {
		entry, err = layer.frameEntry(local)
		return err
	})
	return entry, layer.blame(err)
}

// frameEntry reads the frame table of the image itself; it must run under guard.
func (img *Image) frameEntry(local int64) (FrameEntry, error) {
	if local < 0 || local >= img.header.FrameCount {
		return FrameEntry{}, corruptAt(wholeFile, "frame %d of %d", local, img.header.FrameCount)
	}
	if err := img.checkBlock(local / blockFrames); err != nil {
		return FrameEntry{}, err
	}
	entry, err := decodeFrameEntry(img.frames.bytes[local*frameEntryBytes:], img.header)
	entry.Layer, entry.img = img.depth(), img
	return entry, err
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

// chunk finds the entries of a chunk: owner is the image of the chain that stores
// them. They are mapped: use them under guard. There are none for a chunk of zeros,
// and none for one that is inherited by a stale image, which its parent must be asked
// for.
func (img *Image) chunk(chunk int64) (kind chunkKind, owner *Image, entries []byte, err error) {
	d, err := img.dirEntry(chunk)
	switch {
	case err != nil || d.kind == chunkZero:
		return d.kind, img, nil, err
	case d.kind == chunkStored:
		entries, err = img.storedChunk(d)
		return d.kind, img, entries, err
	case img.parent == nil:
		return d.kind, img, nil, img.errAlone()
	case img.stale:
		return d.kind, img.parent, nil, nil
	}
	owner = img.chain[d.layer]
	entries, err = owner.ownChunk(chunk)
	return d.kind, owner, entries, inFile(owner.path, err)
}

func (img *Image) dirEntry(chunk int64) (dirEntry, error) {
	if chunk*dirEntryBytes >= int64(len(img.directory)) {
		return dirEntry{}, corruptAt(wholeFile, "page directory: chunk %d is inherited, it has %d", chunk, len(img.directory)/dirEntryBytes)
	}
	return decodeDirEntry(img.directory[chunk*dirEntryBytes:], int64(len(img.pageMap.bytes)/chunkBytes), img.header.Depth)
}

// ownChunk is a chunk that descendants say the image stores, with frame numbers that
// hold for all of them.
func (img *Image) ownChunk(chunk int64) ([]byte, error) {
	d, err := img.dirEntry(chunk)
	if err != nil {
		return nil, err
	}
	if d.kind != chunkStored || img.stale {
		return nil, corruptAt(wholeFile, "page directory: chunk %d is inherited and not stored", chunk)
	}
	return img.storedChunk(d)
}

// storedChunk returns the entries of a chunk, which it compares with their checksum
// when they are first used.
func (img *Image) storedChunk(d dirEntry) ([]byte, error) {
	entries := img.pageMap.bytes[d.stored*chunkBytes:][:chunkBytes]
	if img.chunkChecked.has(int64(d.stored)) {
		return entries, nil
	}
	willRead(entries)
	if got := crc32.ChecksumIEEE(entries); got != d.crc32 {
		return nil, corruptAt(img.section(SectionPageMap).packedOff+int64(d.stored)*chunkBytes,
			"page map: checksum is %08x, computed %08x", d.crc32, got)
	}
	img.chunkChecked.set(int64(d.stored))
	return entries, nil
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
	return img.blame(err)
}

// pagesOfChunk looks up pages of one chunk; it must run under guard.
func (img *Image) pagesOfChunk(firstPage int64, refs []PageRef) error {
	kind, owner, entries, err := img.chunk(firstPage / chunkPages)
	switch {
	case err != nil:
		return inFile(img.path, err)
	case kind == chunkZero:
		for i := range refs {
			refs[i] = PageRef{Kind: PageZero}
		}
		return nil
	case entries == nil:
		return owner.pagesOfChunk(firstPage, refs)
	}
	entries = entries[firstPage%chunkPages*mapEntryBytes:][:len(refs)*mapEntryBytes]
	if err := owner.decodeEntries(entries, refs); err != nil || owner != img {
		return inFile(owner.path, err)
	}
	return inFile(img.path, img.follow(firstPage, refs))
}

// decodeEntries decodes entries that the image stores. The numbers of frames are
// those of its ancestors when it was packed.
func (img *Image) decodeEntries(entries []byte, refs []PageRef) (err error) {
	frames := img.header.InheritedFrames + img.header.FrameCount
	for i := range refs {
		entry := binary.LittleEndian.Uint32(entries[i*mapEntryBytes:])
		if refs[i], err = decodePageRef(entry, img.header.SlotBits, frames); err != nil {
			return err
		}
	}
	return nil
}

// follow makes what was decoded from entries of the image itself right for the
// ancestors that are open.
func (img *Image) follow(firstPage int64, refs []PageRef) error {
	if !img.header.HasParent() || img.parent != nil && !img.stale {
		return nil
	}
	inherited := img.header.InheritedFrames
	for i := range refs {
		ref := &refs[i]
		switch {
		case ref.Kind != PageInFrame:
		case int64(ref.Frame) >= inherited:
			ref.Frame = uint32(int64(ref.Frame) - inherited + img.firstFrame)
		case img.parent == nil:
			return img.errAlone()
		default:
			page, err := img.parentPage(firstPage + int64(i))
			if err != nil {
				return err
			}
			if err := img.parent.pagesOfChunk(page, refs[i:i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"
)

// pageMapBuilder collects page map entries in any order. Only one chunk is in
// memory; the others wait in an unnamed file, so that the memory does not grow
// with the image.
type pageMapBuilder struct {
	spool    unnamedFile
	chunk    int64 // the chunk in entries, or -1
	entries  [chunkBytes]byte
	modified bool
	spooled  []bool // chunks that the spool has
}

func newPageMapBuilder(dir string, pageCount int64) (*pageMapBuilder, error) {
	spool, err := createUnnamed(dir)
	if err != nil {
		return nil, err
	}
	return &pageMapBuilder{spool: spool, chunk: -1, spooled: make([]bool, chunksOf(pageCount))}, nil
}

func (b *pageMapBuilder) close() error { return b.spool.close() }

// set records the entry of a page. Pages that are never set are zero pages.
func (b *pageMapBuilder) set(page int64, entry uint32) error {
	if page/chunkPages != b.chunk {
		if err := b.load(page / chunkPages); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(b.entries[page%chunkPages*mapEntryBytes:], entry)
	b.modified = true
	return nil
}

// load brings a chunk into memory and puts the one that was there away.
func (b *pageMapBuilder) load(chunk int64) error {
	if b.modified {
		if _, err := b.spool.WriteAt(b.entries[:], b.chunk*chunkBytes); err != nil {
			return err
		}
		b.spooled[b.chunk] = true
	}
	b.chunk, b.modified = chunk, false
	if !b.spooled[chunk] {
		copy(b.entries[:], zeroChunk())
		return nil
	}
	_, err := b.spool.ReadAt(b.entries[:], chunk*chunkBytes)
	return err
}

// writeTo writes the chunks that are not all zero, in order, and returns the
// page directory and how many chunks it wrote. A chunk that equals one of parent,
// which may be nil, is not written.
func (b *pageMapBuilder) writeTo(w io.Writer, parent *sharedChunks) (directory []byte, storedChunks int64, err error) {
	directory = make([]byte, len(b.spooled)*dirEntryBytes)
	for chunk := range int64(len(b.spooled)) {
		if chunk != b.chunk && !b.spooled[chunk] {
			continue
		}
		if chunk != b.chunk {
			if err := b.load(chunk); err != nil {
				return nil, 0, err
			}
		}
		if bytes.Equal(b.entries[:], zeroChunk()) {
			continue
		}
		layer, shared, err := parent.find(chunk, b.entries[:])
		if err != nil {
			return nil, 0, err
		}
		if shared {
			d := dirEntry{kind: chunkInherited, layer: layer}
			d.encode(directory[chunk*dirEntryBytes:])
			continue
		}
		d := dirEntry{kind: chunkStored, crc32: crc32.ChecksumIEEE(b.entries[:]), stored: uint64(storedChunks)}
		d.encode(directory[chunk*dirEntryBytes:])
		if _, err := w.Write(b.entries[:]); err != nil {
			return nil, 0, err
		}
		storedChunks++
	}
	return directory, storedChunks, nil
}

// sharedChunks finds chunks that an ancestor stores.
type sharedChunks struct {
	parent   *Image
	slotBits uint8 // of the new image
}

// find returns the depth of the ancestor that has the entries of the chunk. Those of
// a stale one have numbers of frames that are no more.
func (c *sharedChunks) find(chunk int64, entries []byte) (layer uint16, found bool, err error) {
	if c == nil || chunk >= chunksOf(c.parent.header.PageCount()) || c.parent.stale {
		return 0, false, nil
	}
	err = guard(func() error {
		kind, owner, stored, err := c.parent.chunk(chunk)
		if err != nil || kind == chunkZero || owner.header.SlotBits != c.slotBits {
			return err
		}
		layer, found = uint16(owner.depth()), bytes.Equal(stored, entries)
		return nil
	})
	return layer, found, c.parent.blame(err)
}

// zeroChunk is a chunk whose pages are all zero.
var zeroChunk = sync.OnceValue(func() []byte {
	b := make([]byte, 0, chunkBytes)
	for range chunkPages {
		b = binary.LittleEndian.AppendUint32(b, zeroPageEntry)
	}
	return b
})

// isZero reports whether b, which is not empty, is all zeros: its first byte is
// zero and each other byte equals the one before it.
func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

package store

import "encoding/binary"

// FrameEntry is a decoded entry of the frame table.
type FrameEntry struct {
	PackedOff int64 // in the image file
	PackedLen int   // bytes
	Codec     Codec
	Pages     int // 1 to 64: the raw size is Pages*PageBytes
	// SharedTable is the number of the shared Huffman table that the frame's
	// stream needs, counted from 1; 0 for a frame that stands alone.
	SharedTable uint8
	CRC32       uint32 // of the raw bytes, gzip polynomial
	// Layer is the depth of the image whose file has the frame, 0 for the root of a
	// chain. Entries that Image.Frame returned have it.
	Layer int
	img   *Image // the same
}

// RawBytes is the size of the decoded frame.
func (f FrameEntry) RawBytes() int { return f.Pages * PageBytes }

// encode writes the 16 bytes of the entry.
func (f FrameEntry) encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, uint64(f.PackedOff)|uint64(f.Pages)<<48|uint64(f.Codec)<<56)
	le.PutUint32(b[8:], uint32(f.PackedLen)|uint32(f.SharedTable)<<24)
	le.PutUint32(b[12:], f.CRC32)
}

// decodeFrameEntry reads an entry and proves that it is within the limits of
// the format and within the frames of the image.
func decodeFrameEntry(b []byte, h *Header) (FrameEntry, error) {
	le := binary.LittleEndian
	word, lenWord := le.Uint64(b), le.Uint32(b[8:])
	f := FrameEntry{
		PackedOff:   int64(word & (1<<48 - 1)),
		Pages:       int(word >> 48 & 0xff),
		Codec:       Codec(word >> 56),
		PackedLen:   int(lenWord & (1<<24 - 1)),
		SharedTable: uint8(lenWord >> 24),
		CRC32:       le.Uint32(b[12:]),
	}
	if f.Pages < 1 || f.Pages > h.MaxPagesPerFrame() {
		return f, corruptAt(wholeFile, "a frame of %d pages, at most %d", f.Pages, h.MaxPagesPerFrame())
	}
	if f.Codec > maxCodec {
		return f, corruptAt(wholeFile, "a frame of unknown codec %d", f.Codec)
	}
	if f.PackedLen < 1 || f.PackedLen > f.RawBytes() || (f.Codec == CodecRaw) != (f.PackedLen == f.RawBytes()) {
		return f, corruptAt(wholeFile, "a frame of %d packed and %d raw bytes with codec %v", f.PackedLen, f.RawBytes(), f.Codec)
	}
	if f.PackedOff < h.FramesOff || f.PackedOff+int64(f.PackedLen) > h.FramesOff+h.FramesBytes {
		return f, corruptAt(f.PackedOff, "a frame of %d bytes is outside the frames", f.PackedLen)
	}
	if f.SharedTable != 0 && (f.Codec != CodecDeflate || h.Incompat&FeatureSharedTables == 0) {
		return f, corruptAt(f.PackedOff, "a frame uses shared table %d without the feature", f.SharedTable)
	}
	return f, nil
}

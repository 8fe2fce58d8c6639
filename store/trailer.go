package store

import (
	"encoding/binary"
	"hash/crc32"
)

// trailerMagic ends every image: a file without it was cut or never finished.
const trailerMagic = "SABREEND"

// encodeTrailer returns the last 64 bytes of an image. They repeat what makes
// the image this one (identity, size, checksum of the header), so that a header
// and an end that do not belong together are noticed.
func encodeTrailer(h *Header, header []byte) []byte {
	b := make([]byte, trailerBytes)
	le := binary.LittleEndian
	copy(b[0:], trailerMagic)
	le.PutUint64(b[8:], uint64(h.FileBytes))
	copy(b[16:], h.UUID[:])
	le.PutUint32(b[32:], le.Uint32(header[hdrCRC:]))
	le.PutUint32(b[trailerBytes-4:], crc32.ChecksumIEEE(b[:trailerBytes-4]))
	return b
}

// checkTrailer compares the last bytes of a file with its header.
func checkTrailer(b []byte, h *Header, header []byte) error {
	off := h.FileBytes - trailerBytes
	want := encodeTrailer(h, header)
	if string(b[:len(trailerMagic)]) != trailerMagic {
		return findingAt(ErrTruncated, off, "the trailer is missing")
	}
	if string(b) != string(want) {
		return corruptAt(off, "the trailer does not belong to the header")
	}
	return nil
}

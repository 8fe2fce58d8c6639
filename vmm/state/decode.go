package state

import (
	"bytes"
	"encoding/binary"
)

// Decode returns the sections of a state file. Their data is not copied. Errors
// are ErrNotState, ErrVersion, ErrArch or ErrDamaged.
func Decode(file []byte) ([]Section, error) {
	sectionCount, err := decodeHeader(file)
	if err != nil {
		return nil, err
	}
	body := file[:len(file)-trailerBytes]
	sections := make([]Section, 0, sectionCount)
	seen := map[identity]bool{}
	off := headerBytes
	for range sectionCount {
		s, storedBytes, err := decodeSection(body, off)
		if err != nil {
			return nil, err
		}
		if seen[s.identity()] {
			return nil, fail(ErrDamaged, off, "a second section %v %d", s.Kind, s.Index)
		}
		seen[s.identity()] = true
		sections = append(sections, s)
		off += storedBytes
	}
	if off != len(body) {
		return nil, fail(ErrDamaged, off, "%d bytes belong to no section", len(body)-off)
	}
	return sections, decodeTrailer(file)
}

// decodeHeader checks everything about the file as a whole, and returns how
// many sections it has, a number that the file has room for.
func decodeHeader(file []byte) (sectionCount int, err error) {
	if len(file) < len(magic) || string(file[:len(magic)]) != magic {
		return 0, fail(ErrNotState, 0, "it does not begin with %q", magic)
	}
	if len(file) < headerBytes+trailerBytes {
		return 0, fail(ErrDamaged, len(file), "truncated: %d bytes, header and trailer take %d", len(file), headerBytes+trailerBytes)
	}
	if got := binary.LittleEndian.Uint32(file[headerVersionOff:]); got != version {
		return 0, fail(ErrVersion, headerVersionOff, "version %d, this program reads version %d", got, version)
	}
	if binary.LittleEndian.Uint32(file[headerCRCOff:]) != crc(file[:headerCRCOff]) {
		return 0, fail(ErrDamaged, 0, "checksum of the header")
	}
	if got := binary.LittleEndian.Uint32(file[headerArchOff:]); got != archX86KVM {
		return 0, fail(ErrArch, headerArchOff, "architecture %d, this program runs %d", got, archX86KVM)
	}
	if !isZero(file[headerReservedOff:headerCRCOff]) {
		return 0, fail(ErrDamaged, headerReservedOff, "reserved bytes are not zeros")
	}
	return decodeCounts(file)
}

func decodeCounts(file []byte) (sectionCount int, err error) {
	want := binary.LittleEndian.Uint64(file[headerFileBytesOff:])
	switch {
	case want > uint64(len(file)):
		return 0, fail(ErrDamaged, len(file), "truncated: %d bytes, the header says %d", len(file), want)
	case want < uint64(len(file)):
		return 0, fail(ErrDamaged, int(want), "%d bytes, the header says %d", len(file), want)
	}
	count := binary.LittleEndian.Uint32(file[headerSectionsOff:])
	if room := (len(file) - headerBytes - trailerBytes) / sectionHeaderBytes; count > MaxSections || count > uint32(room) {
		return 0, fail(ErrDamaged, headerSectionsOff, "%d sections, there is room for %d and at most %d are possible", count, room, MaxSections)
	}
	return int(count), nil
}

// decodeSection returns the section at off, and what it takes there.
func decodeSection(body []byte, off int) (s Section, stored int, err error) {
	rest := body[off:]
	if len(rest) < sectionHeaderBytes {
		return s, 0, fail(ErrDamaged, off, "no room for a section")
	}
	dataBytes := binary.LittleEndian.Uint32(rest[sectionDataOff:])
	nameBytes := binary.LittleEndian.Uint32(rest[sectionNameOff:])
	if dataBytes > MaxSectionBytes || nameBytes > MaxNameBytes {
		return s, 0, fail(ErrDamaged, off, "a section of %d bytes and a name of %d", dataBytes, nameBytes)
	}
	stored = storedBytes(int(nameBytes), int(dataBytes))
	if stored > len(rest) {
		return s, 0, fail(ErrDamaged, off, "a section of %d bytes, %d are there", stored, len(rest))
	}
	if binary.LittleEndian.Uint32(rest[sectionCRCOff:]) != sectionCRC(rest[:stored]) {
		return s, 0, fail(ErrDamaged, off, "checksum of a section")
	}
	dataOff := sectionHeaderBytes + int(nameBytes)
	dataEnd := dataOff + int(dataBytes)
	if !isZero(rest[dataEnd:stored]) || !isZero(rest[sectionReservedOff:sectionCRCOff]) {
		return s, 0, fail(ErrDamaged, off, "padding or reserved bytes are not zeros")
	}
	return Section{
		Kind:  Kind(binary.LittleEndian.Uint32(rest[sectionKindOff:])),
		Index: binary.LittleEndian.Uint32(rest[sectionIndexOff:]),
		Name:  string(rest[sectionHeaderBytes:dataOff]),
		Data:  rest[dataOff:dataEnd:dataEnd],
	}, stored, nil
}

func decodeTrailer(file []byte) error {
	off := len(file) - trailerBytes
	trailer := file[off:]
	switch {
	case string(trailer[:len(trailerMagic)]) != trailerMagic:
		return fail(ErrDamaged, off, "the trailer does not begin with %q", trailerMagic)
	case !isZero(trailer[trailerReservedOff:trailerCRCOff]):
		return fail(ErrDamaged, off, "reserved bytes are not zeros")
	case binary.LittleEndian.Uint32(trailer[trailerCRCOff:]) != crc(file[:off+trailerCRCOff]):
		return fail(ErrDamaged, off, "checksum of the file")
	}
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

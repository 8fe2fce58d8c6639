package state

import "hash/crc32"

// The layout of docs/FORMAT-VMSTATE.md. Version 1 is the first.
const (
	magic        = "SABREVM\x00"
	trailerMagic = "SABREVME"
	version      = 1
	archX86KVM   = 1 // registers and chips as KVM has them on x86-64

	headerBytes        = 64
	headerVersionOff   = 8
	headerArchOff      = 12
	headerFileBytesOff = 16
	headerSectionsOff  = 24
	headerReservedOff  = 28
	headerCRCOff       = 60

	sectionHeaderBytes = 24
	sectionKindOff     = 0
	sectionIndexOff    = 4
	sectionDataOff     = 8
	sectionNameOff     = 12
	sectionReservedOff = 16
	sectionCRCOff      = 20
	sectionAlign       = 8

	trailerBytes       = 16
	trailerReservedOff = 8
	trailerCRCOff      = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// storedBytes is what a section takes in the file, padding included.
func storedBytes(nameBytes, dataBytes int) int {
	return (sectionHeaderBytes + nameBytes + dataBytes + sectionAlign - 1) &^ (sectionAlign - 1)
}

// sectionCRC is the checksum of a stored section: of all but the checksum itself.
func sectionCRC(stored []byte) uint32 {
	return crc32.Update(crc(stored[:sectionCRCOff]), castagnoli, stored[sectionHeaderBytes:])
}

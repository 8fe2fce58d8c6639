package model

import (
	"encoding/binary"

	"sabrefs/iaa/portal"
)

// Opcode is what a descriptor asks for. Source: Linux,
// include/uapi/linux/idxd.h, enum iax_opcode.
type Opcode uint8

// The opcodes that the model executes.
const (
	OpcodeNoop       Opcode = 0x00
	OpcodeDecompress Opcode = 0x42
	OpcodeCompress   Opcode = 0x43
	OpcodeCRC64      Opcode = 0x44
)

// modeledOpcodes is what op_cap claims: nothing that would not work.
var modeledOpcodes = []Opcode{OpcodeNoop, OpcodeDecompress, OpcodeCompress, OpcodeCRC64}

// Operation flags, bits 23:0 of the descriptor's second word. Source: Linux,
// include/uapi/linux/idxd.h, IDXD_OP_FLAG_*, and Intel IAA Architecture
// Specification, "Operation Flags".
const (
	flagBlockOnFault   = 1 << 1
	flagRecordValid    = 1 << 2
	flagRecordRequest  = 1 << 3
	flagInterrupt      = 1 << 4
	flagCacheControl   = 1 << 8
	flagDestReadback   = 1 << 14
	flagReadSource2    = 1 << 16 // as AECS
	flagFilterSource2  = 1 << 17 // as the second input of a filter
	flagWriteSource2   = 1 << 18 // as AECS, in any case
	flagOverflowWrites = 1 << 19 // as AECS, if the output overflows
	flagCRC32C         = 1 << 21
	flagToggle         = 1 << 22 // which of two AECS is read, which written
)

// descriptor is the model's reading of the 64 bytes, little-endian. Source:
// Linux, include/uapi/linux/idxd.h, struct iax_hw_desc.
//
//	 0  4  PASID in bits 19:0, privilege in bit 31
//	 4  4  operation flags in bits 23:0, opcode in bits 31:24
//	 8  8  address of the completion record
//	16  8  address of source 1
//	24  8  address of the destination
//	32  4  size of source 1, bytes
//	36  2  interrupt handle
//	38  2  flags of the operation's own
//	40  8  address of source 2
//	48  4  maximum size of the destination, bytes
//	52  4  size of source 2, bytes
//	56  4  filter flags, or further compression flags
//	60  4  number of elements for a filter
//
// CRC64 has the polynomial in bytes 56 to 63.
type descriptor struct {
	identity         uint32
	flags            uint32
	opcode           Opcode
	record           uint64
	source           uint64
	destination      uint64
	sourceBytes      uint32
	interrupt        uint16
	mode             uint16
	source2          uint64
	destinationBytes uint32
	source2Bytes     uint32
	moreFlags        uint32
	elements         uint32
}

func parseDescriptor(raw *[portal.DescriptorBytes]byte) descriptor {
	le := binary.LittleEndian
	return descriptor{
		identity:         le.Uint32(raw[0:]),
		flags:            le.Uint32(raw[4:]) & 0xffffff,
		opcode:           Opcode(raw[7]),
		record:           le.Uint64(raw[8:]),
		source:           le.Uint64(raw[16:]),
		destination:      le.Uint64(raw[24:]),
		sourceBytes:      le.Uint32(raw[32:]),
		interrupt:        le.Uint16(raw[36:]),
		mode:             le.Uint16(raw[38:]),
		source2:          le.Uint64(raw[40:]),
		destinationBytes: le.Uint32(raw[48:]),
		source2Bytes:     le.Uint32(raw[52:]),
		moreFlags:        le.Uint32(raw[56:]),
		elements:         le.Uint32(raw[60:]),
	}
}

func (d *descriptor) has(flag uint32) bool { return d.flags&flag != 0 }

// polynomial is CRC64's use of the last two fields.
func (d *descriptor) polynomial() uint64 { return uint64(d.elements)<<32 | uint64(d.moreFlags) }

// readsState and writesState report whether source 2 is an AECS to start from,
// or one to leave behind when the job ends as given.
func (d *descriptor) readsState() bool { return d.has(flagReadSource2) }

func (d *descriptor) writesState(ended Status) bool {
	return d.has(flagWriteSource2) || d.has(flagOverflowWrites) && ended == StatusOutputOverflow
}

func (d *descriptor) mayWriteState() bool { return d.has(flagWriteSource2 | flagOverflowWrites) }

// stateToRead and stateToWrite are the two AECS that lie behind each other at
// source 2. Without the toggle the first is read and the second written.
func (d *descriptor) stateToRead() uint64 {
	if d.has(flagToggle) {
		return d.source2 + uint64(d.source2Bytes)
	}
	return d.source2
}

func (d *descriptor) stateToWrite() uint64 {
	if d.has(flagToggle) {
		return d.source2
	}
	return d.source2 + uint64(d.source2Bytes)
}

package model

import (
	"encoding/binary"
)

const (
	recordBytes      = 64
	recordAlignBytes = 64
)

// result is what a completion record says.
type result struct {
	outcome
	writeFault    bool
	faultAddress  uint64
	invalidFlags  uint32
	consumedBytes uint32
	outputBytes   uint32
	outputBits    uint8 // of the last byte; 0 means all 8
	xor           uint16
	crc           uint32
	crc64         uint64
}

// encode lays the result out as a completion record, little-endian. Source:
// Linux, include/uapi/linux/idxd.h, struct iax_completion_record.
//
//	 0  1  status; bit 7 for a fault on a write
//	 1  1  error code
//	 4  4  bytes of source 1 that were consumed
//	 8  8  address of a fault
//	16  4  invalid flags
//	24  4  output size, bytes
//	28  1  bits of the last output byte
//	30  2  XOR checksum
//	32  4  CRC-32
//	40  8  CRC-64
//
// The first word of 8 bytes is returned apart: it is to be stored last.
func (r *result) encode(rest *[recordBytes]byte) (first uint64) {
	le := binary.LittleEndian
	le.PutUint64(rest[8:], r.faultAddress)
	le.PutUint32(rest[16:], r.invalidFlags)
	le.PutUint32(rest[24:], r.outputBytes)
	rest[28] = r.outputBits
	le.PutUint16(rest[30:], r.xor)
	le.PutUint32(rest[32:], r.crc)
	if r.crc64 != 0 {
		le.PutUint64(rest[40:], r.crc64)
	}
	first = uint64(r.status) | uint64(r.code)<<8 | uint64(r.consumedBytes)<<32
	if r.writeFault {
		first |= writeFault
	}
	return first
}

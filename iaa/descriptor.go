package iaa

import "encoding/binary"

// A descriptor is 64 bytes, little-endian, with absolute addresses of this
// process. Source: Intel IAA Architecture Specification, "Descriptors"; Linux,
// include/uapi/linux/idxd.h, struct iax_hw_desc.
//
//	offset size field
//	     0    4 address space and privilege, left 0: the processor fills it in
//	     4    4 flags (bits 23:0), operation (bits 31:24)
//	     8    8 completion record, 64-byte aligned
//	    16    8 source 1
//	    24    8 destination
//	    32    4 length of source 1
//	    36    2 interrupt handle, 0
//	    38    2 flags of the compressor or of the decompressor
//	    40    8 source 2: AECS, 32-byte aligned
//	    48    4 room at the destination
//	    52    4 length of source 2
//	    56    8 filters and second set of flags, 0
const descriptorBytes = 64

// Operations of the device.
const (
	opcodeNoop       = 0x00
	opcodeDecompress = 0x42
	opcodeCompress   = 0x43
)

// Flags of every descriptor, bits 23:0 of the word at offset 4.
const (
	flagBlockOnFault     = 0x000002 // resolve page faults instead of reporting them
	flagRecordValid      = 0x000004
	flagRequestRecord    = 0x000008 // also after success
	flagCacheControl     = 0x000100 // steer the output to the cache
	flagReadSource2      = 0x010000 // source 2 is an AECS to read
	flagsRecord          = flagRecordValid | flagRequestRecord
	descriptorFlagsShift = 24 // of the operation
)

// Flags of the decompressor, at offset 38. Together they ask for exactly one
// whole stream: stop behind the end-of-block code of the last block, and
// complain if the input ends before it.
const (
	decompressEnable   = 0x0001
	decompressFlush    = 0x0002
	decompressStop     = 0x0004
	decompressCheck    = 0x0008
	decompressFinal    = 0x0010 // the end of the final block is meant
	decompressOneShot  = decompressEnable | decompressFlush | decompressStop | decompressCheck | decompressFinal
	decompressSuppress = 0x0200 // write nothing
	compressStatistics = 0x0001 // count symbols instead of writing them
	compressFlush      = 0x0002
	compressEndOfBlock = 0x0004 // append it
	// compressOnePass lets a device of generation 2 build the codes itself and
	// write a final block; for up to onePassBytes of input.
	compressOnePass = 0x3000
	onePassBytes    = 4096
)

// descriptor has the fields that vary between our jobs.
type descriptor struct {
	operation    uint8
	flags        uint32
	modeFlags    uint16
	record       uint64
	source       uint64
	sourceBytes  uint32
	destination  uint64
	roomBytes    uint32 // at the destination
	source2      uint64
	source2Bytes uint32
}

// encode writes every byte of out.
func (d *descriptor) encode(out *[descriptorBytes]byte) {
	le := binary.LittleEndian
	le.PutUint64(out[0:], uint64(d.flags|uint32(d.operation)<<descriptorFlagsShift)<<32)
	le.PutUint64(out[8:], d.record)
	le.PutUint64(out[16:], d.source)
	le.PutUint64(out[24:], d.destination)
	le.PutUint64(out[32:], uint64(d.sourceBytes)|uint64(d.modeFlags)<<48)
	le.PutUint64(out[40:], d.source2)
	le.PutUint64(out[48:], uint64(d.roomBytes)|uint64(d.source2Bytes)<<32)
	le.PutUint64(out[56:], 0)
}

// addDescriptorFlags sets flags that depend on the queue, which is chosen last.
// flags are cleared first in the mask, so that a descriptor may move to another
// queue.
func addDescriptorFlags(out *[descriptorBytes]byte, mask, flags uint32) {
	word := binary.LittleEndian.Uint32(out[4:])
	binary.LittleEndian.PutUint32(out[4:], word&^mask|flags)
}

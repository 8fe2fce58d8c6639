package model

import "slices"

// In which order a device checks a descriptor is not known; the model checks as
// the fields follow from each other: what is to be done, whether that may be
// asked for, then with what. It is strict: a reserved or unused field that is
// not zero is an error, even where a device might not look at it.

// validate returns a result with StatusPending for a descriptor that can be
// executed.
func (q *queue) validate(d *descriptor) result {
	if !q.canRun(d.opcode) {
		return failure(StatusUnsupportedOpcode)
	}
	if invalid := d.flags &^ q.allowedFlags(d); invalid != 0 {
		if invalid == flagInterrupt {
			return failure(StatusInterruptHandle)
		}
		r := failure(StatusInvalidFlags)
		r.invalidFlags = invalid
		return r
	}
	for _, check := range []func(*descriptor) Status{
		checkReserved, q.checkSizes, checkSource2, q.checkMode, checkOverlap,
	} {
		if status := check(d); status != StatusPending {
			return failure(status)
		}
	}
	return checkAddresses(d)
}

func failure(status Status) result { return result{outcome: outcome{status: status}} }

func (q *queue) canRun(op Opcode) bool {
	return slices.Contains(modeledOpcodes, op) && (q.config.Opcodes == nil || slices.Contains(q.config.Opcodes, op))
}

// allowedFlags are the operation flags that may be set. What an AECS is for
// depends on the operation: compression starts from one, and only decompression
// goes on after an overflow.
func (q *queue) allowedFlags(d *descriptor) uint32 {
	allowed := uint32(flagRecordValid | flagRecordRequest | flagCacheControl | flagDestReadback)
	if q.config.BlockOnFault {
		allowed |= flagBlockOnFault
	}
	switch d.opcode {
	case OpcodeDecompress:
		allowed |= flagReadSource2 | flagWriteSource2 | flagOverflowWrites | flagCRC32C | flagToggle
	case OpcodeCompress:
		allowed |= flagReadSource2 | flagWriteSource2 | flagCRC32C | flagToggle
	case OpcodeCRC64, OpcodeNoop:
	}
	if d.has(flagWriteSource2) && d.has(flagOverflowWrites) {
		allowed &^= flagWriteSource2 | flagOverflowWrites
	}
	return allowed
}

// checkReserved looks at fields that are reserved or that the operation does
// not use.
func checkReserved(d *descriptor) Status {
	reserved := uint64(d.identity) | uint64(d.interrupt)
	switch d.opcode {
	case OpcodeNoop:
		reserved |= d.source | d.destination | d.source2 | uint64(d.sourceBytes) | uint64(d.mode) |
			uint64(d.destinationBytes) | uint64(d.source2Bytes) | uint64(d.moreFlags) | uint64(d.elements)
	case OpcodeCRC64:
		reserved |= d.destination | d.source2 | uint64(d.destinationBytes) | uint64(d.source2Bytes)
	case OpcodeCompress, OpcodeDecompress:
		reserved |= uint64(d.elements)
		if !d.readsState() && !d.mayWriteState() {
			reserved |= d.source2 | uint64(d.source2Bytes)
		}
	}
	if reserved != 0 {
		return StatusReserved
	}
	return StatusPending
}

// checkSizes looks at what is read and written. A stream that goes on may have
// no input left but what is in the AECS; tables are built without a
// destination.
func (q *queue) checkSizes(d *descriptor) Status {
	limit := uint32(q.config.MaxTransferBytes)
	hasDestination := d.opcode == OpcodeCompress || d.opcode == OpcodeDecompress
	noSource := d.sourceBytes == 0 && (d.opcode != OpcodeDecompress || !d.readsState())
	noDestination := hasDestination && d.destinationBytes == 0 && !d.buildsTables()
	switch {
	case d.opcode == OpcodeNoop:
		return StatusPending
	case d.sourceBytes > limit, d.destinationBytes > limit, noSource, noDestination:
		return StatusInvalidSize
	default:
		return StatusPending
	}
}

// AECS must lie at a multiple of this and have such a size.
const stateAlignBytes = 32

func checkSource2(d *descriptor) Status {
	uses := d.readsState() || d.mayWriteState()
	if uses && (d.source2%stateAlignBytes != 0 || d.source2Bytes%stateAlignBytes != 0) {
		return StatusSource2Misaligned
	}
	return StatusPending
}

func (q *queue) checkMode(d *descriptor) Status {
	generation := q.device.config.Generation
	switch d.opcode {
	case OpcodeDecompress:
		return checkDecompressMode(d, generation)
	case OpcodeCompress:
		return checkCompressMode(d, generation)
	case OpcodeCRC64:
		if d.mode&^crc64ModeFlags != 0 {
			return StatusInvalidModeFlags
		}
	case OpcodeNoop:
	}
	return StatusPending
}

// checkDecompressMode refuses, besides what is reserved, what the model does
// not have: big-endian bit order and indexing.
func checkDecompressMode(d *descriptor, generation int) Status {
	allowed := uint16(decompressWhole | decompressIgnoreBits | decompressSuppress)
	if generation >= 2 {
		allowed |= decompressIgnoreHigh
	}
	switch {
	case d.mode&^allowed != 0 || d.mode&decompressEnable == 0:
		return StatusInvalidModeFlags
	case d.moreFlags != 0:
		return StatusInvalidFilterFlags
	default:
		return StatusPending
	}
}

// span is a range of addresses.
type span struct{ start, lenBytes uint64 }

func (s span) overlaps(t span) bool {
	return s.lenBytes > 0 && t.lenBytes > 0 && s.start < t.start+t.lenBytes && t.start < s.start+s.lenBytes
}

// sourceSpan, destinationSpan and stateSpan are what a job may read and write;
// nothing if it may not.
func (d *descriptor) sourceSpan() span { return span{d.source, uint64(d.sourceBytes)} }

func (d *descriptor) destinationSpan() span {
	if d.opcode == OpcodeDecompress && d.mode&decompressSuppress != 0 {
		return span{}
	}
	return span{d.destination, uint64(d.destinationBytes)}
}

func (d *descriptor) stateSpan() span {
	switch {
	case d.readsState() && d.mayWriteState():
		return span{d.source2, 2 * uint64(d.source2Bytes)}
	case d.mayWriteState():
		return span{d.stateToWrite(), uint64(d.source2Bytes)}
	case d.readsState():
		return span{d.stateToRead(), uint64(d.source2Bytes)}
	default:
		return span{}
	}
}

// checkOverlap refuses output in input, the record included.
func checkOverlap(d *descriptor) Status {
	source, destination, state := d.sourceSpan(), d.destinationSpan(), d.stateSpan()
	record := span{d.record, recordBytes}
	if destination.overlaps(source) || destination.overlaps(state) || d.mayWriteState() && state.overlaps(source) ||
		record.overlaps(source) || record.overlaps(destination) || record.overlaps(state) {
		return StatusOverlap
	}
	return StatusPending
}

// checkAddresses refuses what cannot be memory, before anything is done.
func checkAddresses(d *descriptor) result {
	for i, s := range []span{d.sourceSpan(), d.stateSpan(), d.destinationSpan()} {
		if s.lenBytes > 0 && !plausible(s.start, s.lenBytes) {
			r := failure(StatusUnresolvedFault)
			r.faultAddress = s.start
			r.writeFault = i == 2
			return r
		}
	}
	return result{}
}

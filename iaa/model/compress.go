package model

import (
	"encoding/binary"
	"slices"
)

// Compression flags. Source: Intel IAA Architecture Specification,
// "Compression Flags"; Linux, drivers/crypto/intel/iaa/iaa_crypto.h.
const (
	compressStatistics = 1 << 0 // yield a histogram and no stream
	compressFlush      = 1 << 1
	compressEnding     = 3 << 2 // one of the endings below
	compressLiterals   = 1 << 4 // no matches
	compressHeader     = 7 << 12

	endingNone        = 0
	endingEndOfBlock  = 1
	endingStored      = 2 // end of block, then an empty stored block
	endingStoredFinal = 3 // the same, and that block is the final one

	// Headers that a device of the second generation makes itself.
	headerNone         = 0
	headerOpen         = 2 // in one pass, of a block that is not final
	headerFinal        = 3
	headerTables       = 5 // into the AECS: only the codes
	headerTablesOpen   = 6 // and the header
	headerTablesFinal  = 7
	maxHeaderJobBytes  = 4096 // of input, for one pass
	compressWriteCodes = 1 << 1
)

// An AECS of compression, 0x620 bytes, little-endian. Source: Intel IAA
// Architecture Specification, "AECS for Compress"; QPL, hw_aecs_api.h.
//
//	   0    4  CRC
//	   4    4  XOR checksum
//	   8   20  reserved
//	  28    4  bits that are output before the first symbol, how many
//	  32  256  these bits
//	 288 1144  codes of literals and lengths, 286 words
//	1440  120  codes of distances, 30 words
//
// A code is in bits 14:0, its length in bits 18:15. A histogram has counts in
// place of codes, and begins at 288.
const (
	tablesReserved    = 8
	tablesCarriedBits = 28
	tablesCarried     = 32
	tablesLiteral     = 288
	tablesDistance    = 1440
	tablesBytes       = 0x620
	maxCarriedBits    = 256 * 8
	codeLengthShift   = 15
	codeMask          = 1<<codeLengthShift - 1
	codeReserved      = 0xfff80000 // bits of an entry that are neither
	histogramBytes    = tablesBytes - tablesLiteral
	histogramDistance = tablesDistance - tablesLiteral
	keptBytes         = 32 // output that is not flushed goes out in such units
)

func (d *descriptor) ending() int     { return int(d.mode&compressEnding) >> 2 }
func (d *descriptor) headerKind() int { return int(d.mode&compressHeader) >> 12 }

// buildsTables reports whether the job's only output is an AECS.
func (d *descriptor) buildsTables() bool {
	return d.opcode == OpcodeCompress && d.headerKind() >= headerTables
}

// checkCompressMode refuses, besides what is reserved, what the model does not
// have: big-endian bit order, indexing and dictionaries.
func checkCompressMode(d *descriptor, generation int) Status {
	allowed := uint16(compressStatistics | compressFlush | compressEnding | compressLiterals)
	if generation >= 2 {
		allowed |= compressHeader
	}
	header := d.headerKind()
	known := []int{headerNone, headerOpen, headerFinal, headerTables, headerTablesOpen, headerTablesFinal}
	switch {
	case d.mode&^allowed != 0, d.moreFlags&^compressWriteCodes != 0, !slices.Contains(known, header):
		return StatusInvalidModeFlags
	case d.mode&compressStatistics != 0 && header != headerNone:
		return StatusInvalidModeFlags
	case d.buildsTables() && (!d.has(flagWriteSource2) || d.moreFlags&compressWriteCodes == 0):
		return StatusInvalidModeFlags
	case (header == headerOpen || header == headerFinal) && d.sourceBytes > maxHeaderJobBytes:
		return StatusInvalidInputSize
	default:
		return StatusPending
	}
}

// codeTable is what symbols are written as, in the form of an AECS.
type codeTable struct {
	literal  [literalSymbols]uint32
	distance [distanceSymbols]uint32
}

// encoder compresses, one job at a time.
type encoder struct {
	match  matcher
	out    bitWriter
	table  codeTable
	counts histogram
}

func (e *engine) compress(d *descriptor) result {
	if e.encoder == nil {
		e.encoder = new(encoder)
	}
	enc := e.encoder
	enc.out.reset(enc.out.out)
	enc.table = codeTable{}
	source := memoryAt(d.source, int(d.sourceBytes))
	var sums checksums
	sums.reset(d.has(flagCRC32C), 0, 0)
	if (d.readsState() || d.mayWriteState()) && d.source2Bytes < tablesBytes {
		return dataFailure(CodeSource2TooSmall)
	}
	if d.readsState() {
		state := memoryAt(d.stateToRead(), tablesBytes)
		if !enc.load(state, d) {
			return dataFailure(CodeState)
		}
		le := binary.LittleEndian
		sums.reset(d.has(flagCRC32C), le.Uint32(state), le.Uint16(state[stateXOR:]))
	}
	sums.update(source)
	r := enc.encode(source, d)
	r.crc, r.xor = sums.crc, sums.xor
	if r.status == StatusSuccess {
		r.consumedBytes = d.sourceBytes
		if d.mayWriteState() {
			enc.save(memoryAt(d.stateToWrite(), tablesBytes), d, &sums)
		}
	}
	return r
}

// load begins with the bits of an AECS, and takes its codes unless the device
// makes them.
func (enc *encoder) load(state []byte, d *descriptor) bool {
	le := binary.LittleEndian
	carried := int(le.Uint32(state[tablesCarriedBits:]))
	if carried > maxCarriedBits || le.Uint32(state[stateXOR:]) > 0xffff ||
		!isZero(state[tablesReserved:tablesCarriedBits]) {
		return false
	}
	for i := 0; i < carried; i += 8 {
		enc.out.put(uint64(state[tablesCarried+i/8]), uint(min(8, carried-i)))
	}
	if d.headerKind() != headerNone {
		return true
	}
	return loadTable(enc.table.literal[:], state[tablesLiteral:]) &&
		loadTable(enc.table.distance[:], state[tablesDistance:])
}

func loadTable(table []uint32, state []byte) bool {
	for i := range table {
		entry := binary.LittleEndian.Uint32(state[4*i:])
		if entry&codeReserved != 0 || entry&codeMask>>(entry>>codeLengthShift) != 0 {
			return false
		}
		table[i] = entry
	}
	return true
}

func (enc *encoder) encode(source []byte, d *descriptor) result {
	literalsOnly := d.mode&compressLiterals != 0
	if d.mode&compressStatistics != 0 || d.headerKind() != headerNone {
		enc.counts.reset(d.ending() != endingNone || d.headerKind() != headerNone)
		enc.match.tokens(source, literalsOnly, &enc.counts)
	}
	switch {
	case d.mode&compressStatistics != 0:
		return enc.writeHistogram(d)
	case d.headerKind() != headerNone:
		enc.makeTables(d.headerKind())
	}
	if d.buildsTables() {
		return result{outcome: outcome{status: StatusSuccess}}
	}
	w := tokenWriter{out: &enc.out, table: &enc.table, limitBytes: int(d.destinationBytes)}
	enc.match.tokens(source, literalsOnly, &w)
	w.end(d.ending())
	if w.missing {
		return dataFailure(CodeNoCode)
	}
	return enc.deliver(d)
}

// deliver writes the stream to the destination. One that does not fit is
// written as far as it does: nobody may count on the contents.
func (enc *encoder) deliver(d *descriptor) result {
	lastBits := enc.out.lenBits() % 8
	if d.mode&compressFlush != 0 {
		enc.out.flush()
	} else {
		lastBits = 0
	}
	whole := enc.out.out
	if d.mode&compressFlush == 0 {
		whole = whole[:len(whole)/keptBytes*keptBytes]
	}
	n := copy(memoryAt(d.destination, int(d.destinationBytes)), whole)
	if n < len(whole) {
		return dataFailure(CodeOutputTooSmall)
	}
	return result{
		outcome:     outcome{status: StatusSuccess},
		outputBytes: uint32(n),
		outputBits:  uint8(lastBits),
	}
}

func (enc *encoder) writeHistogram(d *descriptor) result {
	if d.destinationBytes < histogramBytes {
		return dataFailure(CodeOutputTooSmall)
	}
	out := memoryAt(d.destination, histogramBytes)
	clear(out)
	putWords(out, enc.counts.literals[:])
	putWords(out[histogramDistance:], enc.counts.distances[:])
	return result{outcome: outcome{status: StatusSuccess}, outputBytes: histogramBytes}
}

func putWords(out []byte, words []uint32) {
	for i, word := range words {
		binary.LittleEndian.PutUint32(out[4*i:], word)
	}
}

// save leaves behind the checksums and the bits that were not output. Codes are
// only written on demand: software has them.
func (enc *encoder) save(state []byte, d *descriptor, sums *checksums) {
	le := binary.LittleEndian
	clear(state[:tablesLiteral])
	le.PutUint32(state[stateCRC:], sums.crc)
	le.PutUint32(state[stateXOR:], uint32(sums.xor))
	if d.mode&compressFlush == 0 || d.buildsTables() {
		kept := enc.out.out
		if !d.buildsTables() {
			kept = kept[len(kept)/keptBytes*keptBytes:]
		}
		n := copy(state[tablesCarried:tablesLiteral], kept)
		if enc.out.count > 0 {
			state[tablesCarried+n] = byte(enc.out.held)
		}
		le.PutUint32(state[tablesCarriedBits:], uint32(8*n)+uint32(enc.out.count))
	}
	if d.moreFlags&compressWriteCodes != 0 {
		clear(state[tablesLiteral:])
		putWords(state[tablesLiteral:], enc.table.literal[:])
		putWords(state[tablesDistance:], enc.table.distance[:])
	}
}

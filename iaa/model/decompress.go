package model

import (
	"encoding/binary"
	"math/bits"
)

// An AECS ("analytics engine configuration and state") of decompression,
// 0x1500 bytes, little-endian. Source: Intel IAA Architecture Specification,
// "AECS for Decompress"; QPL, hw_aecs_api.h. Offsets that are missing here are
// reserved or for filters.
//
//	   0    4  CRC
//	   4    4  XOR checksum
//	  20    4  bytes of output to drop
//	 176    4  bits of output that wait for more
//	 184  256  input that was taken and not decoded yet, 32 words
//	 440   32  how many bits of each word are valid
//	 476    1  bits of input to drop
//	 477    1  format: 0, or 1 for the second generation
//	 480  588  codes of the current block
//	1076    2  where in the stream decoding stopped
//	1080    4  bytes left of a stored block
//	1252    2  how much history there is: where the next byte goes in bits 14:0,
//	           in bit 15 whether all of it is filled
//	1256 4096  history
//
// Software may prepare all of this but codes, and otherwise only hands back
// what a device left. The form in which codes are kept is the model's own.
const (
	stateCRC          = 0
	stateXOR          = 4
	stateDropBytes    = 20
	stateOutputBits   = 176
	stateInput        = 184
	stateInputBits    = 440
	stateInputWords   = 32
	stateDropBits     = 476
	stateFormat       = 477
	stateCodes        = 480
	statePosition     = 1076
	stateStoredLeft   = 1080
	stateHistoryEnd   = 1252
	stateHistory      = 1256
	stateBytes        = 0x1500
	stateNoHistory    = 0x4e0 // bytes, of a state without history
	stateFilled       = 1 << 15
	stateMaxInputBits = stateInputWords * 64
)

// Where in the stream decoding stopped.
const (
	positionCoded       = 0
	positionHeader      = 1
	positionStored      = 2
	positionFinal       = 4 // added to positionCoded or positionStored
	positionEnded       = 8
	positionAll         = 15
	codesMagic          = 0x6c646f6d // "modl": these codes are the model's
	codesFlags          = stateCodes + 4
	codesLiteral        = stateCodes + 8
	codesDistance       = codesLiteral + fixedLiteralSymbols
	codesFlagBlockEnd   = 1 << 0
	codesFlagFinalBlock = 1 << 1
	codesFlagOddXOR     = 1 << 2 // an odd number of bytes was summed up
)

func (e *engine) decompress(d *descriptor) result {
	if e.decoder == nil {
		e.decoder = new(decoder)
	}
	dec := e.decoder
	source := memoryAt(d.source, int(d.sourceBytes))
	var destination []byte
	if d.mode&decompressSuppress == 0 {
		destination = memoryAt(d.destination, int(d.destinationBytes))
	}
	dec.begin(source, destination, int(d.destinationBytes), d.mode)
	dec.out.sums.reset(d.has(flagCRC32C), 0, 0)
	dec.wholeSymbols = d.mayWriteState()
	dec.goesOn = d.has(flagWriteSource2) && d.mode&decompressFlush == 0
	if d.mayWriteState() && d.source2Bytes < stateBytes {
		return dataFailure(CodeSource2TooSmall)
	}
	if d.readsState() {
		state := memoryAt(d.stateToRead(), int(d.source2Bytes))
		if end := dec.load(state, source, d.has(flagCRC32C)); end.failed() {
			return result{outcome: end}
		}
	}
	end := dec.run()
	r := result{
		outcome:       end,
		consumedBytes: d.sourceBytes,
		outputBytes:   uint32(dec.out.total),
		xor:           dec.out.sums.xor,
		crc:           dec.out.sums.crc,
	}
	if end.status == StatusOutputOverflow {
		r.consumedBytes = uint32(dec.in.consumedBytes(len(source)))
	}
	if d.writesState(end.status) && end.status != StatusAnalyticsError {
		dec.save(memoryAt(d.stateToWrite(), stateBytes), end.status, e.generation)
	}
	return r
}

func dataFailure(code ErrorCode) result { return result{outcome: dataError(code)} }

// load continues from a state, which software may have made.
func (d *decoder) load(state, source []byte, useCRC32C bool) outcome {
	le := binary.LittleEndian
	switch {
	case len(state) < stateNoHistory:
		return dataError(CodeSource2TooSmall)
	case le.Uint32(state[stateXOR:]) > 0xffff, le.Uint32(state[stateDropBytes:]) != 0,
		le.Uint32(state[stateOutputBits:]) != 0, state[stateDropBits] != 0, state[stateFormat] > 1:
		return dataError(CodeState)
	}
	d.oddXOR = false
	history, ok := loadHistory(state)
	if !ok || !d.loadInput(state, source) || !d.loadPosition(state) {
		return dataError(CodeState)
	}
	d.out.precede(history)
	d.out.sums.reset(useCRC32C, le.Uint32(state[stateCRC:]), le.Uint16(state[stateXOR:]))
	d.out.sums.odd = d.oddXOR
	return outcome{}
}

// loadHistory unrolls the ring that the history is.
func loadHistory(state []byte) ([]byte, bool) {
	if len(state) < stateBytes {
		return nil, true
	}
	word := binary.LittleEndian.Uint16(state[stateHistoryEnd:])
	end := int(word &^ stateFilled)
	if end > historyBytes {
		return nil, false
	}
	ring := state[stateHistory : stateHistory+historyBytes]
	history := make([]byte, 0, historyBytes)
	if word&stateFilled != 0 {
		history = append(history, ring[end:]...)
	}
	return append(history, ring[:end]...), true
}

// loadInput puts the bits that were taken before in front of the input. Those
// of the last, incomplete byte are its upper ones.
func (d *decoder) loadInput(state, source []byte) bool {
	lenBits := uint(0)
	for _, n := range state[stateInputBits : stateInputBits+stateInputWords] {
		if n > 64 {
			return false
		}
		lenBits += uint(n)
	}
	skipBits := -lenBits % 8
	var w bitWriter
	w.put(0, skipBits)
	for i := range stateInputWords {
		word := binary.LittleEndian.Uint64(state[stateInput+8*i:])
		n := uint(state[stateInputBits+i])
		w.put(word, min(n, 32))
		w.put(word>>32, n-min(n, 32))
	}
	d.in.reset(w.out, skipBits, source, ignoredBits(d.mode))
	return true
}

func (d *decoder) loadPosition(state []byte) bool {
	position := binary.LittleEndian.Uint16(state[statePosition:]) & positionAll
	d.final = position&positionFinal != 0
	switch position &^ positionFinal {
	case positionHeader:
		d.stage = atHeader
	case positionEnded:
		d.stage = atEnd
	case positionStored:
		d.stage = inStored
	case positionCoded:
		d.stage = inCoded
	default:
		return false
	}
	d.storedLeft = int(binary.LittleEndian.Uint32(state[stateStoredLeft:]))
	if binary.LittleEndian.Uint32(state[stateCodes:]) == codesMagic {
		return d.storedLeft < 1<<16 && d.loadCodes(state)
	}
	// Software has no way to make the codes of a block, nor to know how much
	// is left of one.
	return d.stage == atHeader || d.stage == atEnd
}

func (d *decoder) loadCodes(state []byte) bool {
	flags := state[codesFlags]
	d.endsAtBlock = flags&codesFlagBlockEnd != 0
	d.final = flags&codesFlagFinalBlock != 0
	d.oddXOR = flags&codesFlagOddXOR != 0
	if d.stage != inCoded {
		return true
	}
	lengths := state[codesLiteral : codesDistance+fixedDistanceSymbols]
	for _, n := range lengths {
		if n > maxCodeBits {
			return false
		}
	}
	d.literal, d.distance = &d.ownLiteral, &d.ownDistance
	return d.ownLiteral.build(lengths[:fixedLiteralSymbols]) && d.ownDistance.build(lengths[fixedLiteralSymbols:])
}

// save leaves a state behind from which the stream can go on.
func (d *decoder) save(state []byte, ended Status, generation int) {
	le := binary.LittleEndian
	clear(state)
	state[stateFormat] = byte(generation - 1)
	le.PutUint32(state[stateCRC:], d.out.sums.crc)
	le.PutUint32(state[stateXOR:], uint32(d.out.sums.xor))
	if d.stage != atEnd {
		d.saveInput(state, ended)
	}
	d.savePosition(state)
	history := d.out.history()
	end := uint16(copy(state[stateHistory:], history))
	if end == historyBytes {
		end = stateFilled
	}
	le.PutUint16(state[stateHistoryEnd:], end)
}

// saveInput keeps what was taken from the input and not decoded. That is all of
// it, unless the output ended first: then the next job has the rest.
func (d *decoder) saveInput(state []byte, ended Status) {
	left := d.in // a copy
	if ended == StatusOutputOverflow {
		if !left.inCarried() {
			left.input = nil
		}
		left.next, left.ignoreBits = nil, 0
	}
	for i := range stateInputWords {
		word, n := left.takeUpTo32()
		upper, more := left.takeUpTo32()
		binary.LittleEndian.PutUint64(state[stateInput+8*i:], word|upper<<32)
		state[stateInputBits+i] = byte(n + more)
	}
}

func (d *decoder) savePosition(state []byte) {
	position := uint16(positionCoded)
	switch d.stage {
	case atHeader:
		position = positionHeader
	case atEnd:
		position = positionEnded
	case inStored:
		position = positionStored
	case inCoded:
	}
	if d.final && (d.stage == inStored || d.stage == inCoded) {
		position |= positionFinal
	}
	le := binary.LittleEndian
	le.PutUint16(state[statePosition:], position)
	le.PutUint32(state[stateStoredLeft:], uint32(d.storedLeft))
	le.PutUint32(state[stateCodes:], codesMagic)
	if d.endsAtBlock {
		state[codesFlags] |= codesFlagBlockEnd
	}
	if d.final {
		state[codesFlags] |= codesFlagFinalBlock
	}
	if d.out.sums.odd {
		state[codesFlags] |= codesFlagOddXOR
	}
	if d.stage == inCoded {
		d.literal.lengths(state[codesLiteral : codesLiteral+fixedLiteralSymbols])
		d.distance.lengths(state[codesDistance : codesDistance+fixedDistanceSymbols])
	}
}

// lengths is the reverse of build.
func (c *prefixCode) lengths(into []byte) {
	index := 0
	for n := 1; n <= maxCodeBits; n++ {
		for range c.count[n] {
			into[c.symbols[index]] = byte(n)
			index++
		}
	}
}

// reverseCode turns a code around: codes are in the stream with their highest
// bit first (RFC 1951, 3.1.1).
func reverseCode(code uint32, lenBits uint) uint64 {
	return uint64(bits.Reverse32(code) >> (32 - lenBits))
}

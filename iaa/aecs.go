package iaa

import (
	"encoding/binary"

	"sabrefs/iaa/huffman"
)

// The AECS (analytics engine configuration and state) of a compression gives
// the device the bits that come before the first symbol, and the codes. Source:
// Intel IAA Architecture Specification, "AECS Format for Compression"; Linux,
// drivers/crypto/intel/iaa/iaa_crypto.h, struct aecs_comp_table_record.
//
//	offset size field
//	     0    8 seeds of the two checksums, 0
//	     8   20 reserved
//	    28    4 number of bits in the accumulator
//	    32  256 accumulator: bits to write first
//	   288 1144 codes of literals and lengths, 286 of 4 bytes
//	  1432    8 reserved
//	  1440  120 codes of distances, 30 of 4 bytes
//	  1560    8 reserved
//
// A code's entry has its length in bits 18:15 and the code itself in bits 14:0,
// its first bit being the most significant of the length.
//
// The histogram that a statistics pass writes has the shape of the last 1280
// bytes, with counts in place of codes.
const (
	aecsBytes              = 1568
	aecsAccumulatorBitsOff = 28
	aecsAccumulatorOff     = 32
	aecsAccumulatorBytes   = 256
	aecsLiteralOff         = 288
	aecsDistanceOff        = 1440
	aecsLengthShift        = 15

	histogramOff   = aecsLiteralOff
	histogramBytes = aecsBytes - histogramOff
)

// The header of a final block with the fixed codes: its type, RFC 1951, 3.2.3.
const (
	fixedHeader     = 0x03
	fixedHeaderBits = 3
)

// fixedLengths are the code lengths of RFC 1951, 3.2.6, without the two symbols
// that take part in the code and never occur.
var fixedLengths = huffman.Fixed()

var fixedLiteralLengths = huffman.FixedLiteral()

// putFixedCodes writes an AECS for streams of one final block with the fixed
// codes.
func putFixedCodes(aecs *[aecsBytes]byte) {
	clear(aecs[:])
	aecs[aecsAccumulatorOff] = fixedHeader
	binary.LittleEndian.PutUint32(aecs[aecsAccumulatorBitsOff:], fixedHeaderBits)
	var codes [len(fixedLiteralLengths)]uint16
	huffman.Codes(codes[:], fixedLiteralLengths[:])
	putEntries(aecs[aecsLiteralOff:], fixedLengths.Literal[:], codes[:])
	huffman.Codes(codes[:], fixedLengths.Distance[:])
	putEntries(aecs[aecsDistanceOff:], fixedLengths.Distance[:], codes[:])
}

// putEntries writes the codes of one alphabet.
func putEntries(to []byte, lengths []uint8, codes []uint16) {
	for symbol, length := range lengths {
		binary.LittleEndian.PutUint32(to[4*symbol:], uint32(length)<<aecsLengthShift|uint32(codes[symbol]))
	}
}

// codeBuilder makes an AECS of a histogram. It is scratch space, too large for
// a stack.
type codeBuilder struct {
	lengths  huffman.Lengths
	builder  huffman.Builder
	header   huffman.Header
	codes    [huffman.LiteralSymbols]uint16
	literal  [huffman.LiteralSymbols]uint32 // how often each occurs
	distance [huffman.DistanceSymbols]uint32
}

// build turns the histogram in the AECS into the best codes, and returns the
// size of the stream that they make. With fixed=true the fixed codes are better,
// and the AECS is not to be used.
func (b *codeBuilder) build(aecs *[aecsBytes]byte) (streamBytes uint64, fixed bool) {
	b.readHistogram(aecs)
	b.builder.Build(b.lengths.Literal[:], b.literal[:], huffman.MaxBits)
	b.builder.Build(b.lengths.Distance[:], b.distance[:], huffman.MaxBits)
	b.header.Set(&b.lengths)
	fixedBits := fixedHeaderBits + b.symbolBits(&fixedLengths)
	dynamicBits := uint64(b.header.Bits()) + b.symbolBits(&b.lengths)
	if fixedBits <= dynamicBits || b.header.Bits() > 8*aecsAccumulatorBytes {
		return (fixedBits + 7) / 8, true
	}
	b.putDynamicCodes(aecs)
	return (dynamicBits + 7) / 8, false
}

func (b *codeBuilder) readHistogram(aecs *[aecsBytes]byte) {
	for symbol := range b.literal {
		b.literal[symbol] = binary.LittleEndian.Uint32(aecs[aecsLiteralOff+4*symbol:])
	}
	for symbol := range b.distance {
		b.distance[symbol] = binary.LittleEndian.Uint32(aecs[aecsDistanceOff+4*symbol:])
	}
	// The end of the block is written once; whether the device counts it is
	// not documented.
	b.literal[huffman.EndOfBlock] = 1
}

// symbolBits is what all symbols take with codes of these lengths, with their
// extra bits (RFC 1951, 3.2.5).
func (b *codeBuilder) symbolBits(lengths *huffman.Lengths) (total uint64) {
	for symbol, count := range b.literal {
		total += uint64(count) * (uint64(lengths.Literal[symbol]) + literalExtraBits(symbol))
	}
	for symbol, count := range b.distance {
		total += uint64(count) * (uint64(lengths.Distance[symbol]) + distanceExtraBits(symbol))
	}
	return total
}

func literalExtraBits(symbol int) uint64 {
	const first, last = 265, 284 // 285 has none again
	if symbol < first || symbol > last {
		return 0
	}
	return uint64(symbol-first)/4 + 1
}

func distanceExtraBits(symbol int) uint64 {
	const first = 4
	if symbol < first {
		return 0
	}
	return uint64(symbol)/2 - 1
}

func (b *codeBuilder) putDynamicCodes(aecs *[aecsBytes]byte) {
	clear(aecs[:])
	var w huffman.BitWriter
	w.Reset(aecs[aecsAccumulatorOff : aecsAccumulatorOff+aecsAccumulatorBytes])
	b.header.Write(&w, true)
	w.Close() // fits: its size was compared before
	binary.LittleEndian.PutUint32(aecs[aecsAccumulatorBitsOff:], uint32(b.header.Bits()))
	huffman.Codes(b.codes[:], b.lengths.Literal[:])
	putEntries(aecs[aecsLiteralOff:], b.lengths.Literal[:], b.codes[:])
	huffman.Codes(b.codes[:], b.lengths.Distance[:])
	putEntries(aecs[aecsDistanceOff:], b.lengths.Distance[:], b.codes[:])
}

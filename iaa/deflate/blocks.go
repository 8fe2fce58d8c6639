package deflate

import (
	"encoding/binary"
	"math/bits"

	"sabrefs/iaa/huffman"
)

// blockKind is the type of a block, RFC 1951, 3.2.3.
type blockKind uint8

const (
	blockStored blockKind = iota
	blockFixed
	blockDynamic
)

// blockTypeBits come before everything else of a block.
const blockTypeBits = 3

// rootBits is what the codes of dynamic blocks are limited to. Usual decoding
// tables are indexed with so many bits; a longer code takes a second step.
const rootBits = 11

// block is a part of the input and of the tokens.
type block struct {
	tokens  span
	src     span // in the window
	kind    blockKind
	lengths huffman.Lengths // of a dynamic block
}

type span struct{ begin, end int }

// beginBlock adds a block that begins with the next token.
func (e *Encoder) beginBlock(from, to int) *block {
	e.blocks = append(e.blocks, block{tokens: span{begin: len(e.tokens)}, src: span{from, to}})
	return &e.blocks[len(e.blocks)-1]
}

// endBlock ends a block with the last token, its symbols being in e.histogram:
// it chooses its codes and its type.
func (e *Encoder) endBlock(b *block, params *params) {
	h := &e.histogram
	b.tokens.end = len(e.tokens)
	size := e.chooseLengths(&b.lengths, h, params)
	b.kind = blockDynamic
	if fixed := blockTypeBits + h.codeBits(&fixedLengths) + h.extraBits(); fixed <= size {
		b.kind, size = blockFixed, fixed
	}
	if stored := storedBits(e.sizeBits, b.src.end-b.src.begin); stored <= size {
		b.kind, size = blockStored, stored
	}
	e.sizeBits += size
	e.total.merge(h)
}

// chooseLengths finds the codes that make a dynamic block shortest, among those
// that the level tries, and returns its size in bits.
func (e *Encoder) chooseLengths(lengths *huffman.Lengths, h *histogram, params *params) int {
	low, high := lengthLimit(h), lengthLimit(h)
	if params.manyLimits {
		low, high = low-1, min(high+1, rootBits)
	}
	smoothed := &e.smoothed
	if params.smooth {
		*smoothed = *h
		smooth(smoothed.literal[:huffman.LiteralSymbols])
		smooth(smoothed.distance[:huffman.DistanceSymbols])
	}
	least := int(^uint(0) >> 1)
	for maxBits := low; maxBits <= high; maxBits++ {
		least = e.tryLengths(lengths, h, &h.literal, &h.distance, maxBits, least)
		if params.smooth {
			least = e.tryLengths(lengths, h, &smoothed.literal, &h.distance, maxBits, least)
			least = e.tryLengths(lengths, h, &smoothed.literal, &smoothed.distance, maxBits, least)
		}
	}
	return least
}

// tryLengths builds codes for the frequencies. It returns the size of the block
// with them and sets lengths, if that is less than what is given.
func (e *Encoder) tryLengths(lengths *huffman.Lengths, h *histogram, literal *[512]uint32, distance *[32]uint32, maxBits, least int) int {
	trial := &e.trial
	e.builder.Build(trial.Literal[:], literal[:huffman.LiteralSymbols], maxBits)
	e.builder.Build(trial.Distance[:], distance[:huffman.DistanceSymbols], maxBits)
	e.header.Set(trial)
	size := e.header.Bits() + h.codeBits(trial) + h.extraBits()
	if size >= least {
		return least
	}
	*lengths = *trial
	return size
}

// lengthLimit guesses to how many bits codes should be limited. In a short block
// fewer different lengths make its header shorter by more than they make its
// codes longer.
func lengthLimit(h *histogram) int {
	return min(4+bits.Len32(h.symbols())/2, rootBits)
}

// writeBlock writes a block that was ended. There is room for it.
func (e *Encoder) writeBlock(w *huffman.BitWriter, b *block, final bool) {
	tokens := e.tokens[b.tokens.begin:b.tokens.end]
	switch b.kind {
	case blockStored:
		writeStored(w, e.window.buf[b.src.begin:b.src.end], final)
	case blockFixed:
		writeType(w, blockFixed, final)
		fixedWords.write(w, tokens)
		fixedWords.writeEnd(w)
	case blockDynamic:
		e.header.Set(&b.lengths)
		e.header.Write(w, final)
		e.words.set(&b.lengths)
		e.words.write(w, tokens)
		e.words.writeEnd(w)
	}
}

func writeType(w *huffman.BitWriter, kind blockKind, final bool) {
	value := uint64(kind) << 1
	if final {
		value |= 1
	}
	w.Write(value, blockTypeBits)
}

const (
	maxStoredBytes   = 65535
	storedLengthBits = 32 // LEN and NLEN, RFC 1951, 3.2.4
)

// storedBits is the size of so much input in stored blocks, of which the first
// begins at the given bit of the stream.
func storedBits(at, srcBytes int) (n int) {
	for {
		n += blockTypeBits
		n += -(at + n) & 7
		n += storedLengthBits + 8*min(srcBytes, maxStoredBytes)
		srcBytes -= maxStoredBytes
		if srcBytes <= 0 {
			return n
		}
	}
}

func writeStored(w *huffman.BitWriter, src []byte, final bool) {
	for {
		part := src[:min(len(src), maxStoredBytes)]
		src = src[len(part):]
		writeType(w, blockStored, final && len(src) == 0)
		w.Align()
		var length [storedLengthBits / 8]byte
		binary.LittleEndian.PutUint16(length[:], uint16(len(part)))
		binary.LittleEndian.PutUint16(length[2:], ^uint16(len(part)))
		w.Bytes(length[:])
		w.Bytes(part)
		if len(src) == 0 {
			return
		}
	}
}

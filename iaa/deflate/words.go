package deflate

import (
	"encoding/binary"

	"sabrefs/iaa/huffman"
)

// words are the code of each symbol, its first bit the least significant, and
// from bit 16 on its length. The arrays have room for everything that a token
// could say, which spares checks of bounds.
type words struct {
	literal  [512]uint32
	distance [32]uint32
}

const wordLengthShift = 16

func (c *words) set(lengths *huffman.Lengths) {
	setWords(c.literal[:], lengths.Literal[:])
	setWords(c.distance[:], lengths.Distance[:])
}

func setWords(words []uint32, lengths []uint8) {
	var codes [huffman.FixedLiteralSymbols]uint16
	huffman.ReversedCodes(codes[:], lengths)
	for symbol, length := range lengths {
		words[symbol] = uint32(codes[symbol]) | uint32(length)<<wordLengthShift
	}
}

// fixedLengths and fixedWords are the codes of RFC 1951, 3.2.6. The words do not
// follow from the lengths, because symbols that cannot occur have codes too.
var fixedLengths, fixedWords = func() (lengths huffman.Lengths, words words) {
	all := huffman.FixedLiteral()
	lengths = huffman.Fixed()
	words.set(&lengths)
	setWords(words.literal[:], all[:])
	return lengths, words
}()

// write writes tokens.
func (c *words) write(w *huffman.BitWriter, tokens []token) {
	for len(tokens) > 0 {
		tokens = tokens[c.writeFast(w, tokens):]
		if len(tokens) > 0 {
			w.Write(c.bits(tokens[0]))
			tokens = tokens[1:]
		}
	}
}

// writeEnd writes the end of the block.
func (c *words) writeEnd(w *huffman.BitWriter) {
	w.Write(c.bits(huffman.EndOfBlock))
}

// writeFast writes tokens while eight bytes can be stored, and returns how many
// it wrote. A token has at most 45 bits, 15 and 5 for a length, 15 and 10 for a
// distance, and up to 7 are waiting.
func (c *words) writeFast(w *huffman.BitWriter, tokens []token) int {
	rest, waiting, n := w.Rest()
	at := 0
	for i, t := range tokens {
		if at > len(rest)-8 {
			w.Advance(at, waiting, n)
			return i
		}
		if t.isMatch() {
			value, bits := c.bits(t)
			waiting |= value << (n & 63)
			n += bits
		} else {
			word := c.literal[t&511]
			waiting |= uint64(word&0xffff) << (n & 63)
			n += uint(word >> wordLengthShift)
		}
		binary.LittleEndian.PutUint64(rest[at:], waiting)
		at += int(n / 8)
		waiting >>= n & 56
		n &= 7
	}
	w.Advance(at, waiting, n)
	return len(tokens)
}

// bits returns what is written for a token, and how many bits that are.
func (c *words) bits(t token) (value uint64, n uint) {
	if !t.isMatch() {
		word := c.literal[t&511]
		return uint64(word & 0xffff), uint(word >> wordLengthShift)
	}
	length := t.length()
	word := c.literal[length.symbol&511]
	value, n = uint64(word&0xffff), uint(word>>wordLengthShift)
	value |= uint64(length.extra) << (n & 63)
	n += uint(length.extraBits)

	symbol := t.distanceSymbol()
	word = c.distance[symbol]
	value |= uint64(word&0xffff) << (n & 63)
	n += uint(word >> wordLengthShift)
	extraBits := distanceExtraBits(symbol) & 15
	value |= uint64(t.offset()&(1<<extraBits-1)) << (n & 63)
	return value, n + uint(extraBits)
}

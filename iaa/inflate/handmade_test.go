package inflate

import (
	"math/rand/v2"

	"sabrefs/iaa/huffman"
)

// lengthCodes and distanceCodes are the tables of RFC 1951, 3.2.5: the base of
// each symbol and its extra bits. The package computes them by a formula.
var (
	lengthCodes = [29][2]int{
		{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0},
		{11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2}, {31, 2},
		{35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4},
		{131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
	}
	distanceCodes = [30][2]int{
		{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3},
		{33, 4}, {49, 4}, {65, 5}, {97, 5}, {129, 6}, {193, 6}, {257, 7}, {385, 7},
		{513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10},
		{4097, 11}, {6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
	}
)

const firstLengthSymbol = 257

// symbolOf returns the last symbol whose base is not above the value.
func symbolOf(table [][2]int, value int) int {
	symbol := len(table) - 1
	for table[symbol][0] > value {
		symbol--
	}
	return symbol
}

// code is the code of one alphabet, each symbol's with its first bit the least
// significant.
type code struct {
	lengths []uint8
	codes   []uint16
}

func newCode(lengths []uint8) code {
	c := code{lengths, make([]uint16, len(lengths))}
	huffman.ReversedCodes(c.codes, lengths)
	return c
}

// codePair are the two codes of a block.
type codePair struct{ literal, distance code }

func newCodePair(l *huffman.Lengths) codePair {
	return codePair{newCode(l.Literal[:]), newCode(l.Distance[:])}
}

// fixedCodes are those of RFC 1951, 3.2.6, with the symbols that stand for
// nothing.
var fixedCodes = func() codePair {
	literal, distance := make([]uint8, 288), make([]uint8, 32)
	for symbol := range literal {
		switch {
		case symbol >= 144 && symbol < 256:
			literal[symbol] = 9
		case symbol >= 256 && symbol < 280:
			literal[symbol] = 7
		default:
			literal[symbol] = 8
		}
	}
	for symbol := range distance {
		distance[symbol] = 5
	}
	return codePair{newCode(literal), newCode(distance)}
}()

// handmade is a stream that is written symbol by symbol, and the bytes it stands
// for.
type handmade struct {
	huffman.BitWriter
	buf []byte
	raw []byte
}

// newHandmade returns a stream with room for so many bytes.
func newHandmade(roomBytes int) *handmade {
	h := &handmade{buf: make([]byte, roomBytes)}
	h.Reset(h.buf)
	return h
}

// packed ends the stream.
func (h *handmade) packed() []byte {
	n, ok := h.Close()
	if !ok {
		return nil // no stream at all: whoever wrote so much notices
	}
	return h.buf[:n:n]
}

func (h *handmade) blockType(final bool, blockType uint64) {
	value := blockType << 1
	if final {
		value |= 1
	}
	h.Write(value, 3)
}

func (h *handmade) fixedHeader(final bool) codePair {
	h.blockType(final, 1)
	return fixedCodes
}

func (h *handmade) dynamicHeader(final bool, l *huffman.Lengths) codePair {
	huffman.WriteHeader(&h.BitWriter, l, final)
	return newCodePair(l)
}

// stored writes a block without compression.
func (h *handmade) stored(final bool, data []byte) {
	h.blockType(final, 0)
	h.Align()
	h.Write(uint64(len(data))|uint64(^uint16(len(data)))<<16, 32)
	h.Bytes(data)
	h.raw = append(h.raw, data...)
}

func (h *handmade) symbol(c code, symbol int) {
	h.Write(uint64(c.codes[symbol]), uint(c.lengths[symbol]))
}

func (h *handmade) literals(c codePair, data ...byte) {
	for _, b := range data {
		h.symbol(c.literal, int(b))
	}
	h.raw = append(h.raw, data...)
}

func (h *handmade) end(c codePair) { h.symbol(c.literal, huffman.EndOfBlock) }

// match writes a match and what it stands for, if it does not reach too far.
func (h *handmade) match(c codePair, length, distance int) {
	h.matchSymbols(c, symbolOf(lengthCodes[:], length), length, symbolOf(distanceCodes[:], distance), distance)
}

// matchSymbols lets choose the symbols: 258 is the base of one, and within the
// range of another.
func (h *handmade) matchSymbols(c codePair, lengthSymbol, length, distanceSymbol, distance int) {
	h.symbol(c.literal, firstLengthSymbol+lengthSymbol)
	h.Write(uint64(length-lengthCodes[lengthSymbol][0]), uint(lengthCodes[lengthSymbol][1]))
	h.symbol(c.distance, distanceSymbol)
	h.Write(uint64(distance-distanceCodes[distanceSymbol][0]), uint(distanceCodes[distanceSymbol][1]))
	for range length {
		if distance <= len(h.raw) {
			h.raw = append(h.raw, h.raw[len(h.raw)-distance])
		}
	}
}

// randomSymbols writes symbols of a pair of codes until about so many raw bytes
// are written: half of them are drawn as the code expects them, half evenly, so
// that the longest codes occur too.
func (h *handmade) randomSymbols(rng *rand.Rand, c codePair, rawBytes int) {
	literals := used(c.literal.lengths[:huffman.LiteralSymbols])
	distances := used(c.distance.lengths[:huffman.DistanceSymbols])
	stop := len(h.raw) + rawBytes
	for range 2 * rawBytes { // it may be that no symbol can be written
		symbol := draw(rng, c.literal, literals)
		switch {
		case len(h.raw) >= stop:
			return
		case symbol < huffman.EndOfBlock:
			h.literals(c, byte(symbol))
		case symbol > huffman.EndOfBlock:
			h.randomMatch(rng, c, symbol-firstLengthSymbol, distances)
		}
	}
}

// randomMatch writes a match, if it finds a distance that does not reach too far.
func (h *handmade) randomMatch(rng *rand.Rand, c codePair, lengthSymbol int, distances []int) {
	if len(distances) == 0 {
		return
	}
	symbol := draw(rng, c.distance, distances)
	base, extra := distanceCodes[symbol][0], distanceCodes[symbol][1]
	if base > len(h.raw) {
		return
	}
	distance := base + rng.IntN(min(1<<extra, len(h.raw)-base+1))
	length := lengthCodes[lengthSymbol][0] + rng.IntN(1<<lengthCodes[lengthSymbol][1])
	h.matchSymbols(c, lengthSymbol, length, symbol, distance)
}

// used are the symbols that have a code.
func used(lengths []uint8) (symbols []int) {
	for symbol, n := range lengths {
		if n > 0 {
			symbols = append(symbols, symbol)
		}
	}
	return symbols
}

// draw returns one of the symbols: half of the time any, half of the time those
// with short codes more often.
func draw(rng *rand.Rand, c code, symbols []int) int {
	for even := rng.IntN(2) == 0; ; {
		symbol := symbols[rng.IntN(len(symbols))]
		if even || rng.IntN(1<<c.lengths[symbol]) < 32 {
			return symbol
		}
	}
}

// randomCode returns the lengths of a random complete code of some of the
// symbols: the leaves of a tree that is split here and there. The deeper, the
// more the last leaf is preferred, which makes codes long.
func randomCode(rng *rand.Rand, lengths []uint8, symbols int, deeper float64) {
	leaves := []uint8{0}
	for len(leaves) < symbols {
		at := rng.IntN(len(leaves))
		if rng.Float64() < deeper {
			at = len(leaves) - 1
		}
		if leaves[at] == huffman.MaxBits {
			deeper = 0
			continue
		}
		leaves[at]++
		leaves = append(leaves, leaves[at])
	}
	leaves[0] = max(leaves[0], 1) // a single code has one bit
	clear(lengths)
	for i, symbol := range rng.Perm(len(lengths))[:symbols] {
		lengths[symbol] = leaves[i]
	}
}

// randomLengths returns random codes, with one for the end of the block.
func randomLengths(rng *rand.Rand) (l huffman.Lengths) {
	for l.Literal[huffman.EndOfBlock] == 0 {
		symbols := 1 + rng.IntN(huffman.LiteralSymbols)
		if rng.IntN(8) == 0 {
			symbols = 1 + rng.IntN(4)
		}
		randomCode(rng, l.Literal[:], symbols, rng.Float64())
	}
	if symbols := rng.IntN(huffman.DistanceSymbols + 1); symbols > 0 {
		randomCode(rng, l.Distance[:], symbols, rng.Float64())
	}
	return l
}

// fibonacciLengths returns codes of every length up to 15 bits, which is what
// frequencies that grow like Fibonacci's numbers lead to. The longest codes are
// those of the literals and of short distances, or of the long matches and the
// long distances.
func fibonacciLengths(rareMatches bool) (l huffman.Lengths) {
	for _, lengths := range [][]uint8{l.Literal[:], l.Distance[:]} {
		const growing = huffman.DistanceSymbols
		freqs := make([]uint32, len(lengths))
		last, next := uint32(1), uint32(1)
		for i := range freqs {
			symbol := i
			if rareMatches {
				symbol = len(freqs) - 1 - i
			}
			freqs[symbol] = last
			if i >= len(freqs)-growing {
				last, next = next, last+next
			}
		}
		new(huffman.Builder).Build(lengths, freqs, huffman.MaxBits)
	}
	return l
}

// largestLengths returns codes whose tables are the largest there can be, found
// by an exhaustive search over how many codes each length may have: 2340
// entries of 2342 that 288 symbols could need, and 400 of 402 for 32.
func largestLengths(rng *rand.Rand) (l huffman.Lengths) {
	spread := func(lengths []uint8, counts [huffman.MaxBits + 1]int) {
		order := rng.Perm(len(lengths))
		for bits, count := range counts {
			for _, symbol := range order[:count] {
				lengths[symbol] = uint8(bits)
			}
			order = order[count:]
		}
	}
	spread(l.Literal[:], [huffman.MaxBits + 1]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 12: 1, 13: 229, 14: 49, 15: 2})
	spread(l.Distance[:], [huffman.MaxBits + 1]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 9: 1, 10: 9, 11: 9, 12: 1, 13: 1, 14: 1, 15: 2})
	return l
}

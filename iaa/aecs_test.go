package iaa

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

func entryAt(aecs *[aecsBytes]byte, off, symbol int) uint32 {
	return binary.LittleEndian.Uint32(aecs[off+4*symbol:])
}

func TestFixedCodes(t *testing.T) {
	var aecs [aecsBytes]byte
	putFixedCodes(&aecs)
	if bits := binary.LittleEndian.Uint32(aecs[28:]); bits != 3 || aecs[32] != 0x03 {
		t.Errorf("header is %#x in %d bits", aecs[32], bits)
	}
	for symbol := range huffman.LiteralSymbols {
		want := uint32(0x400c0 + symbol - 280)
		switch {
		case symbol < 144:
			want = uint32(0x40030 + symbol)
		case symbol < 256:
			want = uint32(0x48190 + symbol - 144)
		case symbol < 280:
			want = uint32(0x38000 + symbol - 256)
		}
		if got := entryAt(&aecs, 288, symbol); got != want {
			t.Errorf("symbol %d is %#x, want %#x", symbol, got, want)
		}
	}
	for symbol := range huffman.DistanceSymbols {
		if got, want := entryAt(&aecs, 1440, symbol), uint32(0x28000+symbol); got != want {
			t.Errorf("distance %d is %#x, want %#x", symbol, got, want)
		}
	}
	wantZero(t, &aecs)
}

// wantZero checks what is reserved, and the accumulator behind its bits.
func wantZero(t *testing.T, aecs *[aecsBytes]byte) {
	t.Helper()
	bits := int(binary.LittleEndian.Uint32(aecs[28:]))
	for _, part := range [][2]int{{0, 28}, {32 + (bits+7)/8, 288}, {1432, 1440}, {1560, 1568}} {
		if b := aecs[part[0]:part[1]]; !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("bytes %d to %d are % x", part[0], part[1], b)
		}
	}
}

// token is a literal, or a match by its symbols and extra bits.
type token struct {
	symbol, distanceSymbol         int
	extra, distanceExtra           uint64
	extraBits, distanceExtraBits   int
	lengthOfMatch, distanceOfMatch int
}

// randomTokens makes a message and what it decodes to. How many different
// symbols it has, and how uneven they are, varies.
func randomTokens(r *rand.Rand) (tokens []token, raw []byte) {
	alphabet, matchChance := 1+r.IntN(256), r.Float64()*r.Float64()
	skew := 1 + 3*r.Float64()
	for range 1 + r.IntN(5000) {
		if len(raw) == 0 || r.Float64() > matchChance {
			symbol := int(float64(alphabet) * math.Pow(r.Float64(), skew))
			tokens = append(tokens, token{symbol: symbol})
			raw = append(raw, byte(symbol))
			continue
		}
		m := randomMatch(r, len(raw))
		tokens = append(tokens, m)
		for range m.lengthOfMatch {
			raw = append(raw, raw[len(raw)-m.distanceOfMatch])
		}
	}
	return tokens, raw
}

// randomMatch chooses symbols by the tables of RFC 1951, 3.2.5.
func randomMatch(r *rand.Rand, before int) token {
	lengthBase := []int{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra := []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase := []int{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
	}
	distanceExtra := []int{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10}
	length, distance := r.IntN(len(lengthBase)), r.IntN(len(distanceBase))
	for distance > 0 && distanceBase[distance]+1<<distanceExtra[distance] > before {
		distance--
	}
	m := token{
		symbol: 257 + length, distanceSymbol: distance,
		extraBits: lengthExtra[length], distanceExtraBits: distanceExtra[distance],
	}
	m.extra = r.Uint64N(1 << m.extraBits)
	if m.symbol == 284 {
		m.extra = min(m.extra, 30) // 258 has a symbol of its own
	}
	m.distanceExtra = r.Uint64N(1 << m.distanceExtraBits)
	m.lengthOfMatch = lengthBase[length] + int(m.extra)
	m.distanceOfMatch = distanceBase[distance] + int(m.distanceExtra)
	return m
}

// countTokens writes a histogram as a device does, over whatever was there.
func countTokens(r *rand.Rand, tokens []token) (aecs [aecsBytes]byte) {
	for i := range aecs {
		aecs[i] = byte(r.Uint32())
	}
	clear(aecs[histogramOff:])
	count := func(off, symbol int) {
		binary.LittleEndian.PutUint32(aecs[off+4*symbol:], entryAt(&aecs, off, symbol)+1)
	}
	for _, token := range tokens {
		count(288, token.symbol)
		if token.symbol > huffman.EndOfBlock {
			count(1440, token.distanceSymbol)
		}
	}
	if r.IntN(2) == 0 {
		count(288, huffman.EndOfBlock) // a device may count it or not
	}
	return aecs
}

// encodeTokens does what a device does with an AECS.
func encodeTokens(t *testing.T, aecs *[aecsBytes]byte, tokens []token) []byte {
	t.Helper()
	var w huffman.BitWriter
	buf := make([]byte, 64<<10)
	w.Reset(buf)
	for i := range int(binary.LittleEndian.Uint32(aecs[28:])) {
		w.Write(uint64(aecs[32+i/8]>>(i%8)&1), 1)
	}
	emit := func(off, symbol int, extra uint64, extraBits int) {
		entry := entryAt(aecs, off, symbol)
		length := entry >> 15
		if length == 0 {
			t.Fatalf("symbol %d has no code", symbol)
		}
		for bit := range length {
			w.Write(uint64(entry>>(length-1-bit)&1), 1) // the most significant bit first
		}
		w.Write(extra, uint(extraBits))
	}
	for _, token := range append(tokens, token{symbol: huffman.EndOfBlock}) {
		emit(288, token.symbol, token.extra, token.extraBits)
		if token.symbol > huffman.EndOfBlock {
			emit(1440, token.distanceSymbol, token.distanceExtra, token.distanceExtraBits)
		}
	}
	n, ok := w.Close()
	if !ok {
		t.Fatal("the buffer is too small")
	}
	return buf[:n]
}

// TestCodesOfHistogram encodes random messages with the AECS made of their
// histogram, and has the standard library decode them.
func TestCodesOfHistogram(t *testing.T) {
	r := seedtest.Rand(t)
	var builder codeBuilder
	kinds := map[bool]int{}
	for range 300 {
		tokens, raw := randomTokens(r)
		aecs := countTokens(r, tokens)
		streamBytes, fixed := builder.build(&aecs)
		kinds[fixed]++
		if fixed {
			putFixedCodes(&aecs)
		}
		wantZero(t, &aecs)
		stream := encodeTokens(t, &aecs, tokens)
		if uint64(len(stream)) != streamBytes {
			t.Fatalf("stream has %d bytes, %d were announced (fixed: %v)", len(stream), streamBytes, fixed)
		}
		var fixedCodes [aecsBytes]byte
		putFixedCodes(&fixedCodes)
		if other := encodeTokens(t, &fixedCodes, tokens); len(other) < len(stream) {
			t.Fatalf("stream has %d bytes, with fixed codes %d", len(stream), len(other))
		}
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader(stream)))
		wantNoError(t, err)
		if !bytes.Equal(got, raw) {
			t.Fatal("the standard library decodes other bytes")
		}
	}
	if kinds[true] == 0 || kinds[false] == 0 {
		t.Errorf("fixed codes or not: %v", kinds)
	}
}

// TestCodesOfAnyHistogram takes counts that no device can have counted.
func TestCodesOfAnyHistogram(t *testing.T) {
	var builder codeBuilder
	for name, fill := range map[string]byte{"nothing": 0, "everything as often as can be": 0xff} {
		var aecs [aecsBytes]byte
		for i := histogramOff; i < aecsBytes; i++ {
			aecs[i] = fill
		}
		streamBytes, fixed := builder.build(&aecs)
		if streamBytes == 0 || !fixed && binary.LittleEndian.Uint32(aecs[28:]) > 8*256 {
			t.Errorf("%s: %d bytes, fixed codes: %v", name, streamBytes, fixed)
		}
	}
}

// TestTwoCodesAtLeast: a device may refuse a code with a single symbol.
func TestTwoCodesAtLeast(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, 2000) // no distance but none, few literals
	tokens := make([]token, len(raw))
	for i, b := range raw {
		tokens[i].symbol = int(b)
	}
	aecs := countTokens(seedtest.Fixed(1), tokens)
	var builder codeBuilder
	if _, fixed := builder.build(&aecs); fixed {
		t.Fatal("fixed codes")
	}
	for _, c := range []struct{ off, symbols int }{{288, 286}, {1440, 30}} {
		codes := 0
		for symbol := range c.symbols {
			if entryAt(&aecs, c.off, symbol) != 0 {
				codes++
			}
		}
		if codes < 2 {
			t.Errorf("the alphabet at %d has %d codes", c.off, codes)
		}
	}
}

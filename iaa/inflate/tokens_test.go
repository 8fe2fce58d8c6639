package inflate

import (
	"bytes"
	"errors"
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// token is a literal, or a match if its length is not 0.
type token struct {
	literal          byte
	length, distance int
}

func (t token) symbol() int {
	if t.length == 0 {
		return int(t.literal)
	}
	return firstLengthSymbol + symbolOf(lengthCodes[:], t.length)
}

var errNotReadable = errors.New("not a stream that this reader reads")

// tokensOf reads the symbols of a valid stream bit by bit, as RFC 1951 describes
// it. It shares nothing with the package.
func tokensOf(packed []byte) (tokens []token, err error) {
	r := &bitReader{packed: packed}
	for final := false; !final && r.at <= 8*len(packed); {
		final = r.bits(1) == 1
		switch r.bits(2) {
		case 0:
			tokens = r.storedTokens(tokens)
		case 1:
			tokens = r.blockTokens(tokens, fixedCodes)
		case 2:
			tokens = r.blockTokens(tokens, r.codes())
		default:
			return nil, errNotReadable
		}
	}
	if (r.at+7)/8 != len(packed) || r.failed {
		return nil, errNotReadable
	}
	return tokens, nil
}

type bitReader struct {
	packed []byte
	at     int // bits
	failed bool
}

// bits reads a number, of which the first bit is the least significant.
func (r *bitReader) bits(n int) (value int) {
	for i := range n {
		if r.at < 8*len(r.packed) {
			value |= int(r.packed[r.at/8]>>(r.at%8)&1) << i
		}
		r.at++
	}
	return value
}

// symbol reads a code: the codes of each length follow those of the length
// before.
func (r *bitReader) symbol(c code) int {
	value := 0
	for bits := 1; bits <= huffman.MaxBits; bits++ {
		value |= r.bits(1) << (bits - 1)
		for symbol, n := range c.lengths {
			if int(n) == bits && int(c.codes[symbol]) == value {
				return symbol
			}
		}
	}
	r.failed = true
	return huffman.EndOfBlock
}

// codes reads the header of a dynamic block.
func (r *bitReader) codes() codePair {
	literals, distances, n := r.bits(5)+257, r.bits(5)+1, r.bits(4)+4
	precode := make([]uint8, len(precodeOrder))
	for _, symbol := range precodeOrder[:n] {
		precode[symbol] = uint8(r.bits(3))
	}
	c := newCode(precode)
	var lengths []uint8
	for len(lengths) < literals+distances && !r.failed {
		value, times := uint8(0), 1
		switch symbol := r.symbol(c); symbol {
		case 16:
			value, times = lengths[len(lengths)-1], 3+r.bits(2)
		case 17:
			times = 3 + r.bits(3)
		case 18:
			times = 11 + r.bits(7)
		default:
			value = uint8(symbol)
		}
		lengths = append(lengths, bytes.Repeat([]byte{value}, times)...)
	}
	return codePair{newCode(lengths[:literals]), newCode(lengths[literals:])}
}

func (r *bitReader) storedTokens(tokens []token) []token {
	r.at = (r.at + 7) / 8 * 8
	n := r.bits(16)
	r.bits(16)
	for range n {
		tokens = append(tokens, token{literal: byte(r.bits(8))})
	}
	return tokens
}

func (r *bitReader) blockTokens(tokens []token, c codePair) []token {
	for {
		symbol := r.symbol(c.literal)
		switch {
		case symbol == huffman.EndOfBlock:
			return tokens
		case symbol < huffman.EndOfBlock:
			tokens = append(tokens, token{literal: byte(symbol)})
		default:
			l := lengthCodes[symbol-firstLengthSymbol]
			length := l[0] + r.bits(l[1])
			d := distanceCodes[r.symbol(c.distance)]
			tokens = append(tokens, token{length: length, distance: d[0] + r.bits(d[1])})
		}
	}
}

// TestHandmade checks what the other tests are made of: that streams are written
// as RFC 1951 wants them.
func TestHandmade(t *testing.T) {
	rng := seedtest.Rand(t)
	for _, s := range handmadeSamples(rng) {
		if len(s.raw) > 10_000 {
			continue // bit by bit takes long
		}
		tokens, err := tokensOf(s.packed)
		wantNoError(t, err)
		var raw []byte
		for _, token := range tokens {
			if token.length == 0 {
				raw = append(raw, token.literal)
			}
			for range token.length {
				raw = append(raw, raw[len(raw)-token.distance])
			}
		}
		if !bytes.Equal(raw, s.raw) {
			t.Errorf("%s: %d bytes, want %d", s.name, len(raw), len(s.raw))
		}
	}
}

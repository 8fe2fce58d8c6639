package huffman

import (
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// The example of RFC 1951, 3.2.2.
func TestCodes(t *testing.T) {
	lengths := []uint8{3, 3, 3, 3, 3, 2, 4, 4}
	codes := make([]uint16, len(lengths))
	Codes(codes, lengths)
	if want := []uint16{0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111}; !slices.Equal(codes, want) {
		t.Errorf("codes are %b, want %b", codes, want)
	}
	ReversedCodes(codes, lengths)
	if want := []uint16{0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111}; !slices.Equal(codes, want) {
		t.Errorf("reversed codes are %b, want %b", codes, want)
	}
}

// No code may begin with another, and unused symbols have the code 0.
func TestCodesArePrefixFree(t *testing.T) {
	rng := seedtest.Rand(t)
	codes := make([]uint16, LiteralSymbols)
	for range 100 {
		l := randomLengths(rng, MaxBits)
		ReversedCodes(codes, l.Literal[:])
		owner := make([]int, 1<<MaxBits)
		for symbol, length := range l.Literal {
			if length == 0 {
				if codes[symbol] != 0 {
					t.Fatalf("unused symbol %d has code %b", symbol, codes[symbol])
				}
				continue
			}
			for word := int(codes[symbol]); word < 1<<MaxBits; word += 1 << length {
				if owner[word] != 0 {
					t.Fatalf("symbols %d and %d begin alike", owner[word]-1, symbol)
				}
				owner[word] = symbol + 1
			}
		}
		if slices.Contains(owner, 0) {
			t.Fatal("a code is not used")
		}
	}
}

package huffman

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"sabrefs/tests/seedtest"
)

// Every alignment of a header must be met, with lengths left to announce and
// without.
func TestPrefix(t *testing.T) {
	rng := seedtest.Rand(t)
	var seen [2][8]int
	buf := make([]byte, 4096)
	for round := 0; !allSeen(&seen); round++ {
		if round == 100000 {
			t.Fatalf("after %d codes, seen are %v", round, seen)
		}
		l := sparseLengths(rng)
		if round%2 == 0 {
			l = deepLengths(rng)
		}
		var h Header
		h.Set(&l)
		spare := min(1, lengthSymbols-h.plan().announce)
		if seen[spare][h.Bits()%8] > 20 {
			continue
		}
		seen[spare][h.Bits()%8]++
		checkPrefix(t, rng, &l, buf)
	}
}

func allSeen(seen *[2][8]int) bool {
	for _, alignments := range seen {
		for _, n := range alignments {
			if n == 0 {
				return false
			}
		}
	}
	return true
}

// deepLengths returns a code that has all lengths, so that none is left to
// announce.
func deepLengths(rng *rand.Rand) (l Lengths) {
	var b Builder
	freqs := randomFreqs(rng, LiteralSymbols)
	freqs[EndOfBlock] = 1
	for i := range 18 {
		freqs[rng.IntN(256)] = 1 << i
	}
	b.Build(l.Literal[:], freqs, MaxBits)
	b.Build(l.Distance[:], randomFreqs(rng, DistanceSymbols), MaxBits)
	return l
}

func checkPrefix(t *testing.T, rng *rand.Rand, l *Lengths, buf []byte) {
	t.Helper()
	prefix, err := Prefix(l)
	if err != nil {
		t.Fatal(err)
	}
	if len(prefix) > MaxPrefixBytes || len(prefix) > HeaderBits(l)/8+oddBlockBits/8+5 {
		t.Fatalf("%d bytes for a header of %d bits", len(prefix), HeaderBits(l))
	}
	data := codable(rng, l)
	var w BitWriter
	w.Reset(buf)
	w.Bytes(prefix)
	literalsWith(&w, l, data)
	n, _ := w.Close()
	got, err := inflate(buf[:n])
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %x, want %x, error %v", got, data, err)
	}
}

func TestPrefixRefusesInvalidLengths(t *testing.T) {
	if _, err := Prefix(&Lengths{}); !errors.Is(err, ErrLengths) {
		t.Errorf("error is %v", err)
	}
}

// Codes that no builder makes, and that readers accept.
func TestPrefixOfSmallCodes(t *testing.T) {
	rng := seedtest.Rand(t)
	var l Lengths
	l.Literal[EndOfBlock] = 1
	checkPrefix(t, rng, &l, make([]byte, 1024)) // one literal, no distance
	l.Literal['a'] = 1
	checkPrefix(t, rng, &l, make([]byte, 1024))
	l.Distance[29] = 1
	checkPrefix(t, rng, &l, make([]byte, 1024))
}

// However hard lengths are to describe, there is a prefix.
func TestPrefixOfLongHeaders(t *testing.T) {
	rng := seedtest.Rand(t)
	longest := 0
	for range 200 {
		l := restlessLengths(rng)
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, HeaderBits(&l))
		checkPrefix(t, rng, &l, make([]byte, 4096))
	}
	t.Logf("the longest header has %d bits", longest)
	if longest < 1000 {
		t.Errorf("the longest header has only %d bits", longest)
	}
}

// restlessLengths returns codes of all lengths in an order that is hard to
// predict.
func restlessLengths(rng *rand.Rand) (l Lengths) {
	var b Builder
	for _, list := range [][]uint8{l.Literal[:], l.Distance[:]} {
		freqs := make([]uint32, len(list))
		for i := range freqs {
			freqs[i] = 1 << rng.IntN(16)
		}
		b.Build(list, freqs, MaxBits)
	}
	return l
}

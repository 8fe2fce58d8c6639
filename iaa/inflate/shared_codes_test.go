package inflate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// sharedCodes is a pair of codes for streams without a header, with what makes
// them streams of RFC 1951.
type sharedCodes struct {
	lengths huffman.Lengths
	table   *Table
	prefix  []byte
}

func (c *sharedCodes) tableOrNil() *Table {
	if c == nil {
		return nil
	}
	return c.table
}

func (c *sharedCodes) withHeader(packed []byte) []byte {
	if c == nil {
		return packed
	}
	return slices.Concat(c.prefix, packed)
}

// newSharedCodes returns nil if the header of the codes is too long for a prefix.
func newSharedCodes(tb testing.TB, lengths *huffman.Lengths) *sharedCodes {
	tb.Helper()
	wantNoError(tb, lengths.Check())
	table, ok := NewTable(lengths)
	if !ok {
		tb.Fatalf("no table of %v", lengths)
	}
	prefix, err := huffman.Prefix(lengths)
	if err != nil {
		return nil
	}
	return &sharedCodes{*lengths, table, prefix}
}

// sharedSamples are streams without headers, two for each pair of codes.
func sharedSamples(tb testing.TB, rng *rand.Rand) (samples []sample) {
	tb.Helper()
	add := func(name string, lengths huffman.Lengths) {
		codes := newSharedCodes(tb, &lengths)
		if codes == nil {
			return
		}
		for range 2 {
			h := newHandmade(1 << 16)
			c := newCodePair(&lengths)
			h.randomSymbols(rng, c, rng.IntN(1<<rng.IntN(13)))
			h.end(c)
			samples = append(samples, sample{name, h.packed(), h.raw, codes})
		}
	}
	add("Fibonacci's codes", fibonacciLengths(false))
	add("Fibonacci's codes, matches are rare", fibonacciLengths(true))
	for i := range rounds(100) {
		add(fmt.Sprintf("shared codes %d", i), randomLengths(rng))
	}
	return samples
}

// TestSharedCodes decodes streams without headers, and compares with what others
// make of them behind a header.
func TestSharedCodes(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	samples := sharedSamples(t, rng)
	if len(samples) < rounds(100) {
		t.Fatalf("%d streams only: most codes have no prefix", len(samples))
	}
	for _, s := range samples {
		checkSample(t, b, oracles, someSetups(rng, 20), s)
	}
}

// TestSharedCodesOfRealStreams writes the symbols of compressed streams again,
// with codes that are made for all of them.
func TestSharedCodesOfRealStreams(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	samples := shareCodes(t, compressedSamples(t, rng, 300, 5000))
	for _, s := range samples {
		checkSample(t, b, oracles, someSetups(rng, 6), s)
	}
}

// TestTableIsNotChanged checks that decoding, of bad streams too, leaves shared
// tables as they are.
func TestTableIsNotChanged(t *testing.T) {
	rng := seedtest.Rand(t)
	samples := sharedSamples(t, rng)
	var d Decoder
	for _, s := range samples {
		before := *s.codes.table
		dst := make([]byte, len(s.raw))
		for _, packed := range [][]byte{s.packed, damage(rng, s.packed), {}} {
			n, err := d.Decode(dst, packed, s.codes.table)
			if err == nil && n != len(dst) {
				t.Errorf("%s: %d bytes of %d and no error", s.name, n, len(dst))
			}
		}
		if *s.codes.table != before {
			t.Errorf("%s: the table is changed", s.name)
		}
	}
	if fresh := makeFixedTable(); *fresh != *fixedTable {
		t.Error("the table of the fixed codes is changed")
	}
}

// shareCodes writes the symbols of streams again, without headers, all with the
// same two codes.
func shareCodes(tb testing.TB, samples []sample) (shared []sample) {
	tb.Helper()
	var freqs struct{ literal, distance [300]uint32 }
	freqs.literal[huffman.EndOfBlock] = uint32(len(samples))
	tokens := make([][]token, len(samples))
	for i, s := range samples {
		var err error
		tokens[i], err = tokensOf(s.packed)
		wantNoError(tb, err)
		for _, t := range tokens[i] {
			freqs.literal[t.symbol()]++
			if t.length > 0 {
				freqs.distance[symbolOf(distanceCodes[:], t.distance)]++
			}
		}
	}
	var l huffman.Lengths
	var builder huffman.Builder
	builder.Build(l.Literal[:], freqs.literal[:len(l.Literal)], 12)
	builder.Build(l.Distance[:], freqs.distance[:len(l.Distance)], huffman.MaxBits)
	codes := newSharedCodes(tb, &l)
	pair := newCodePair(&l)
	for i, s := range samples {
		h := newHandmade(4*len(s.raw) + 64)
		for _, t := range tokens[i] {
			if t.length > 0 {
				h.match(pair, t.length, t.distance)
			} else {
				h.literals(pair, t.literal)
			}
		}
		h.end(pair)
		if !bytes.Equal(h.raw, s.raw) {
			tb.Fatalf("%s: the symbols stand for other bytes", s.name)
		}
		shared = append(shared, sample{s.name, h.packed(), h.raw, codes})
	}
	return shared
}

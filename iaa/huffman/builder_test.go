package huffman

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// TestBuildIsOptimal compares with the simplest correct algorithm there is.
func TestBuildIsOptimal(t *testing.T) {
	rng := seedtest.Rand(t)
	var b Builder
	limited := 0
	for range 3000 {
		freqs := randomFreqs(rng, 2+rng.IntN(LiteralSymbols-1))
		maxBits := 1 + rng.IntN(MaxBits)
		lengths := make([]uint8, len(freqs))
		for i := range lengths {
			lengths[i] = 77 // what is there before must not matter
		}
		b.Build(lengths, freqs, maxBits)
		used := checkComplete(t, lengths, freqs)
		for 1<<maxBits < used {
			maxBits++
		}
		if longest := int(slices.Max(lengths)); longest > maxBits {
			t.Fatalf("code of %d bits, limit is %d", longest, maxBits)
		} else if longest == maxBits {
			limited++
		}
		if got, want := cost(lengths, freqs), leastCost(freqs, maxBits); got != want {
			t.Fatalf("%d bits, possible are %d (limit %d, frequencies %v)", got, want, maxBits, freqs)
		}
	}
	if limited == 0 {
		t.Fatal("no code reached its limit")
	}
}

// checkComplete fails unless the Kraft sum is exactly 1 and symbols without
// frequency have no code. It returns how many have one.
func checkComplete(t *testing.T, lengths []uint8, freqs []uint32) (used int) {
	t.Helper()
	sum, unused := 0, 0
	for symbol, length := range lengths {
		if length > MaxBits {
			t.Fatalf("symbol %d has %d bits", symbol, length)
		}
		if freqs[symbol] > 0 && length == 0 {
			t.Fatalf("symbol %d has no code", symbol)
		}
		if length == 0 {
			continue
		}
		used++
		sum += 1 << (MaxBits - length)
		if freqs[symbol] == 0 {
			unused++
		}
	}
	if sum != 1<<MaxBits {
		t.Fatalf("Kraft sum is %d/%d: %v", sum, 1<<MaxBits, lengths)
	}
	if unused > 0 && used > 2 {
		t.Fatalf("%d symbols have a code and are not used", unused)
	}
	return used
}

func cost(lengths []uint8, freqs []uint32) (bits uint64) {
	for symbol, length := range lengths {
		bits += uint64(length) * uint64(freqs[symbol])
	}
	return bits
}

// leastCost is package-merge, with lists of weights that know their symbols.
func leastCost(freqs []uint32, maxBits int) (bits uint64) {
	type item struct{ weight, bits uint64 }
	var symbols []item
	for _, freq := range freqs {
		if freq > 0 {
			symbols = append(symbols, item{uint64(freq), uint64(freq)})
		}
	}
	if len(symbols) == 1 {
		return symbols[0].weight
	}
	byWeight := func(a, b item) int { return int(int64(a.weight) - int64(b.weight)) }
	slices.SortFunc(symbols, byWeight)
	list := slices.Clone(symbols)
	for range maxBits - 1 {
		next := slices.Clone(symbols)
		for i := 0; i+1 < len(list); i += 2 {
			next = append(next, item{list[i].weight + list[i+1].weight, list[i].bits + list[i+1].bits})
		}
		slices.SortStableFunc(next, byWeight)
		list = next
	}
	for i := range 2*len(symbols) - 2 {
		bits += list[i].bits
	}
	return bits
}

func TestBuildMakesTwoCodes(t *testing.T) {
	var b Builder
	for _, test := range []struct {
		freqs []uint32
		want  []uint8
	}{
		{[]uint32{0, 0, 0}, []uint8{1, 1, 0}},
		{[]uint32{7, 0, 0}, []uint8{1, 1, 0}},
		{[]uint32{0, 0, 7}, []uint8{1, 0, 1}},
		{[]uint32{0, 7, 1}, []uint8{0, 1, 1}},
	} {
		got := make([]uint8, 3)
		b.Build(got, test.freqs, 15)
		if !slices.Equal(got, test.want) {
			t.Errorf("frequencies %v: lengths %v, want %v", test.freqs, got, test.want)
		}
	}
}

// Frequencies summed over a whole memory image are large.
func TestBuildTakesLargeFrequencies(t *testing.T) {
	freqs := make([]uint32, LiteralSymbols)
	for i := range freqs {
		freqs[i] = 1<<32 - 1 - uint32(i)
	}
	freqs[3], freqs[4] = 1, 1
	lengths := make([]uint8, len(freqs))
	var b Builder
	b.Build(lengths, freqs, 9)
	checkComplete(t, lengths, freqs)
	if got, want := cost(lengths, freqs), leastCost(freqs, 9); got != want {
		t.Errorf("%d bits, possible are %d", got, want)
	}
}

func TestBuildAllocatesNothing(t *testing.T) {
	freqs := randomFreqs(rand.New(rand.NewPCG(1, 0)), LiteralSymbols)
	lengths := make([]uint8, len(freqs))
	var b Builder
	if n := testing.AllocsPerRun(10, func() { b.Build(lengths, freqs, 9) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCheckAcceptsWhatIsBuilt(t *testing.T) {
	rng := seedtest.Rand(t)
	for range 300 {
		l := randomLengths(rng, 9+rng.IntN(7))
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	set := func(literals, distances map[int]uint8) (l Lengths) {
		for symbol, bits := range literals {
			l.Literal[symbol] = bits
		}
		for symbol, bits := range distances {
			l.Distance[symbol] = bits
		}
		return l
	}
	two := map[int]uint8{0: 1, 256: 1}
	for _, test := range []struct {
		name    string
		lengths Lengths
		ok      bool
	}{
		{"two symbols, no distance", set(two, nil), true},
		{"one distance", set(two, map[int]uint8{5: 1}), true},
		{"two distances", set(two, map[int]uint8{5: 1, 29: 1}), true},
		{"only the end", set(map[int]uint8{256: 1}, nil), true},
		{"nothing", Lengths{}, false},
		{"no end", set(map[int]uint8{0: 1, 1: 1}, nil), false},
		{"incomplete", set(map[int]uint8{0: 1, 256: 2}, nil), false},
		{"one distance of two bits", set(two, map[int]uint8{5: 2}), false},
		{"three distances of one bit", set(two, map[int]uint8{5: 1, 6: 1, 7: 1}), false},
		{"16 bits", set(map[int]uint8{0: 1, 256: 16}, nil), false},
		{"255 bits", set(map[int]uint8{0: 1, 256: 255}, nil), false},
		{"three symbols of one bit", set(map[int]uint8{0: 1, 1: 1, 256: 1}, nil), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.lengths.Check()
			if test.ok && err != nil || !test.ok && !errors.Is(err, ErrLengths) {
				t.Errorf("error is %v, want ok to be %v", err, test.ok)
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	freqs := make([]uint32, LiteralSymbols)
	rng := rand.New(rand.NewPCG(1, 0))
	for range 6000 {
		freqs[min(int(rng.ExpFloat64()*20), LiteralSymbols-1)]++
		freqs[rng.IntN(LiteralSymbols)] |= 1
	}
	var builder Builder
	lengths := make([]uint8, LiteralSymbols)
	for _, limit := range []struct {
		name    string
		maxBits int
	}{{"unlimited", MaxBits}, {"limited", 11}} {
		b.Run(limit.name, func(b *testing.B) {
			for b.Loop() {
				builder.Build(lengths, freqs, limit.maxBits)
			}
		})
	}
}

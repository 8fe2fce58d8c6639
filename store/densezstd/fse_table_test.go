package densezstd

import (
	"math/rand/v2"
	"testing"
)

// randomCounts returns the counts of some symbols, of which two at least
// occur.
func randomCounts(rng *rand.Rand) (counts []uint32, total uint32) {
	counts = make([]uint32, 2+rng.IntN(maxSymbols-1))
	for i := range counts {
		if rng.IntN(3) > 0 {
			counts[i] = uint32(rng.IntN(1 << rng.IntN(14)))
		}
	}
	counts[0]++
	counts[len(counts)-1]++
	for _, n := range counts {
		total += n
	}
	return counts, total
}

func TestNormalize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	rare := 0
	for range 20000 {
		counts, total := randomCounts(rng)
		var d distribution
		d.normalize(counts, total, chooseLog(counts, total, maxTableLog))
		sum := 0
		for symbol, states := range d.states {
			sum += int(max(states, -states))
			if used := symbol < len(counts) && counts[symbol] > 0; used != (states != 0) || states < -1 {
				t.Fatalf("counts %v: symbol %d has %d states", counts, symbol, states)
			}
			if states == -1 {
				rare++
			}
		}
		if sum != 1<<d.log {
			t.Fatalf("counts %v: %d states, expected %d", counts, sum, 1<<d.log)
		}
	}
	if rare == 0 {
		t.Error("no symbol was less than one")
	}
}

// readDescription decodes a distribution as RFC 8878, section 4.1.1 tells, and
// returns how many bytes that took.
func readDescription(p []byte) (d distribution, size int) {
	at := 0
	read := func(n int) (v int) {
		for i := range n {
			v |= int(p[(at+i)/8]) >> ((at + i) % 8) & 1 << i
		}
		at += n
		return v
	}
	d.log = uint8(read(4)) + 5
	left := 1 << d.log
	symbol := 0
	for left > 0 {
		width := 1
		for 1<<width <= left+1 {
			width++
		}
		// Values up to left+1: the lowest ones are a bit shorter.
		short := 1<<width - (left + 2)
		v := read(width - 1)
		if v >= short {
			if read(1) == 1 {
				v += 1<<(width-1) - short
			}
		}
		d.states[symbol] = int16(v - 1)
		symbol++
		if v == 1 {
			for {
				more := read(2)
				symbol += more
				if more < 3 {
					break
				}
			}
		}
		left -= max(v-1, 1-v)
	}
	d.used = symbol
	return d, (at + 7) / 8
}

func TestDescription(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	out := make([]byte, 300)
	for range 20000 {
		counts, total := randomCounts(rng)
		var d distribution
		d.normalize(counts, total, chooseLog(counts, total, maxTableLog))
		end := d.appendDescription(out, 0)
		got, size := readDescription(out[:end])
		if got != d || size != end {
			t.Fatalf("counts %v: %v became %v in %d of %d bytes", counts, d, got, size, end)
		}
	}
}

// TestTransitions decodes what the table encodes: from each state, the state
// before it must come back, and with it the symbol that leads from there.
func TestTransitions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	for range 500 {
		counts, total := randomCounts(rng)
		var d distribution
		d.normalize(counts, total, chooseLog(counts, total, maxTableLog))
		var table encodingTable
		table.build(&d)
		var symbols [1 << maxTableLog]uint8
		size := uint32(d.spread(&symbols))
		for symbol, n := range counts {
			if n == 0 {
				continue
			}
			for state := size; state < 2*size; state++ {
				w := bitWriter{out: make([]byte, 16)}
				next := w.addState(&table, state, uint8(symbol))
				if got := symbols[next-size]; int(got) != symbol {
					t.Fatalf("counts %v: symbol %d leads to a state of %d", counts, symbol, got)
				}
				// The decoder's base of a state: what the bits are added to.
				if back := state>>w.bits<<w.bits | uint32(w.acc); back != state {
					t.Fatalf("counts %v: %d bits of state %d are %b", counts, w.bits, state, w.acc)
				}
			}
		}
	}
}

func TestLogarithms(t *testing.T) {
	for n, expect := range map[uint32]uint32{1: 0, 2: 1 << 16, 3: 103872, 1 << 18: 18 << 16, 1000: 653117} {
		if got := log2(n); got > expect || got+48 < expect {
			t.Errorf("log2(%d) is %d/65536, expected %d", n, got, expect)
		}
	}
	if got := entropy([]uint32{512, 256, 0, 256}, 7); got != 1536*bitCost+3*7 {
		t.Errorf("entropy %d, expected %d", got, 1536*bitCost+21)
	}
}

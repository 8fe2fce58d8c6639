package huffman

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"sabrefs/tests/seedtest"
)

// bitReader reads what a BitWriter wrote.
type bitReader struct {
	buf []byte
	pos int // in bits
}

func (r *bitReader) read(n int) (value int) {
	for i := range n {
		if r.pos/8 < len(r.buf) {
			value |= int(r.buf[r.pos/8]>>(r.pos%8)&1) << i
		}
		r.pos++
	}
	return value
}

// symbol decodes one symbol bit by bit.
func (r *bitReader) symbol(lengths []uint8) (int, error) {
	codes := make([]uint16, len(lengths))
	Codes(codes, lengths)
	code := 0
	for n := 1; n <= MaxBits; n++ {
		code = code<<1 | r.read(1)
		for symbol, length := range lengths {
			if int(length) == n && int(codes[symbol]) == code {
				return symbol, nil
			}
		}
	}
	return 0, errors.New("no such code")
}

// readHeader parses a block header as strictly as the accelerator does: each
// list for itself.
func readHeader(r *bitReader) (l Lengths, final bool, err error) {
	final = r.read(1) == 1
	if kind := r.read(2); kind != 2 {
		return l, final, fmt.Errorf("block of type %d", kind)
	}
	literals, distances, announced := r.read(5)+257, r.read(5)+1, r.read(4)+4
	if literals > LiteralSymbols || distances > DistanceSymbols {
		return l, final, fmt.Errorf("%d literals, %d distances", literals, distances)
	}
	code := make([]uint8, lengthSymbols)
	for _, symbol := range lengthOrder[:announced] {
		code[symbol] = uint8(r.read(3))
	}
	if err := checkCode(code); err != nil {
		return l, final, err
	}
	if err := readList(r, code, l.Literal[:literals]); err != nil {
		return l, final, fmt.Errorf("literals: %w", err)
	}
	if err := readList(r, code, l.Distance[:distances]); err != nil {
		return l, final, fmt.Errorf("distances: %w", err)
	}
	return l, final, l.Check()
}

func readList(r *bitReader, code, list []uint8) error {
	for at := 0; at < len(list); {
		symbol, err := r.symbol(code)
		if err != nil {
			return err
		}
		value, count := uint8(symbol), 1
		switch symbol {
		case 16:
			if at == 0 {
				return errors.New("begins with a repeat")
			}
			value, count = list[at-1], 3+r.read(2)
		case 17:
			value, count = 0, 3+r.read(3)
		case 18:
			value, count = 0, 11+r.read(7)
		}
		if at+count > len(list) {
			return errors.New("a run crosses the end")
		}
		for range count {
			list[at] = value
			at++
		}
	}
	return nil
}

// sparseLengths returns codes of few symbols, which make long runs.
func sparseLengths(rng *rand.Rand) (l Lengths) {
	var b Builder
	freqs := make([]uint32, LiteralSymbols)
	freqs[EndOfBlock] = 1
	for range rng.IntN(20) {
		from := rng.IntN(LiteralSymbols)
		freq := 1 + rng.Uint32N(1<<rng.IntN(12))
		for i := from; i < min(LiteralSymbols, from+1+rng.IntN(40)); i++ {
			freqs[i] = freq
		}
	}
	b.Build(l.Literal[:], freqs, MaxBits)
	freqs = freqs[:DistanceSymbols]
	clear(freqs)
	for range rng.IntN(4) {
		freqs[rng.IntN(DistanceSymbols)] = 1 + rng.Uint32N(30)
	}
	b.Build(l.Distance[:], freqs, MaxBits)
	return l
}

func TestHeader(t *testing.T) {
	rng := seedtest.Rand(t)
	buf := make([]byte, 1024)
	var h Header
	for round := range 2000 {
		want := sparseLengths(rng)
		if round%2 == 0 {
			want = randomLengths(rng, 9+rng.IntN(7))
		}
		checkHeader(t, &h, &want, buf)
	}
}

func checkHeader(t *testing.T, h *Header, want *Lengths, buf []byte) {
	t.Helper()
	h.Set(want)
	var w BitWriter
	w.Reset(buf)
	h.Write(&w, true)
	if HeaderBits(want) != h.Bits() {
		t.Fatalf("HeaderBits is %d, Bits %d", HeaderBits(want), h.Bits())
	}
	n, ok := w.Close()
	if !ok || n != (h.Bits()+7)/8 {
		t.Fatalf("%d bytes (ok is %v) for %d bits", n, ok, h.Bits())
	}
	r := &bitReader{buf: buf[:n]}
	got, final, err := readHeader(r)
	if err != nil || !final || got != *want || r.pos != h.Bits() {
		t.Fatalf("%d bits of %d, final %v, error %v\n%v\n%v", r.pos, h.Bits(), final, err, got, *want)
	}
	w.Reset(buf)
	WriteHeader(&w, want, false)
	if again, _ := w.Close(); again != n || buf[0]&1 != 0 {
		t.Fatalf("WriteHeader wrote %d bytes of %d, final bit %d", again, n, buf[0]&1)
	}
}

// Runs of all lengths, of zeros and of others, at the end of a list too.
func TestHeaderRuns(t *testing.T) {
	buf := make([]byte, 1024)
	var h Header
	for run := 1; run < 256; run++ {
		var zeros, equal Lengths
		zeros.Literal[0], zeros.Literal[run+1], zeros.Literal[EndOfBlock] = 2, 2, 1
		if run+1 == EndOfBlock {
			zeros.Literal[0] = 1
		}
		zeros.Distance[0], zeros.Distance[min(run, 29)] = 1, 1
		checkHeader(t, &h, &zeros, buf)
		// run codes of 9 bits; codes of 1 to 8 bits for the rest.
		left := 512 - run
		symbol := run
		for i := range run {
			equal.Literal[i] = 9
		}
		for bits := uint8(1); left > 0; bits++ {
			if left >= 512>>bits {
				left -= 512 >> bits
				if left == 0 {
					symbol = EndOfBlock
				}
				equal.Literal[symbol] = bits
				symbol++
			}
		}
		checkHeader(t, &h, &equal, buf)
	}
}

// The greedy coding of runs that zlib has must not be better.
func TestHeaderIsAsGoodAsGreedy(t *testing.T) {
	rng := seedtest.Rand(t)
	var h Header
	var ours, greedy int
	for range 300 {
		l := sparseLengths(rng)
		h.Set(&l)
		ours += h.Bits()
		greedy += greedyHeaderBits(&l)
	}
	if ours > greedy {
		t.Errorf("%d bits, greedily %d", ours, greedy)
	}
}

// greedyHeaderBits takes the longest repeat at each place.
func greedyHeaderBits(l *Lengths) int {
	var freqs [lengthSymbols]uint32
	extra := 0
	for _, list := range [][]uint8{
		l.Literal[:trimmed(l.Literal[:], minLiterals)],
		l.Distance[:trimmed(l.Distance[:], minDistances)],
	} {
		for at := 0; at < len(list); {
			run := at
			for run < len(list) && list[run] == list[at] {
				run++
			}
			run -= at
			switch {
			case list[at] == 0 && run >= 11:
				freqs[18]++
				extra += 7
				at += min(run, 138)
			case list[at] == 0 && run >= 3:
				freqs[17]++
				extra += 3
				at += run
			case list[at] != 0 && at > 0 && list[at-1] == list[at] && run >= 3:
				freqs[16]++
				extra += 2
				at += min(run, 6)
			default:
				freqs[list[at]]++
				at++
			}
		}
	}
	var b Builder
	lengths := make([]uint8, lengthSymbols)
	b.Build(lengths, freqs[:], maxLengthBits)
	announced := lengthSymbols
	for announced > minLengths && lengths[lengthOrder[announced-1]] == 0 {
		announced--
	}
	return fixedHeaderBits + 3*announced + int(cost(lengths, freqs[:])) + extra
}

func TestHeaderAllocatesNothing(t *testing.T) {
	l := randomLengths(rand.New(rand.NewPCG(1, 0)), 12)
	buf := make([]byte, 512)
	var w BitWriter
	if n := testing.AllocsPerRun(10, func() {
		w.Reset(buf)
		WriteHeader(&w, &l, true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// inflate decodes one stream that must end with the last byte.
func inflate(stream []byte) ([]byte, error) {
	in := bytes.NewReader(stream)
	out, err := io.ReadAll(flate.NewReader(in))
	if err == nil && in.Len() > 0 {
		err = fmt.Errorf("%d bytes behind the end", in.Len())
	}
	return out, err
}

// literalsWith codes as literals what has codes, then ends the block.
func literalsWith(w *BitWriter, l *Lengths, data []byte) {
	codes := make([]uint16, LiteralSymbols)
	ReversedCodes(codes, l.Literal[:])
	for _, c := range data {
		w.Write(uint64(codes[c]), uint(l.Literal[c]))
	}
	w.Write(uint64(codes[EndOfBlock]), uint(l.Literal[EndOfBlock]))
}

// codable returns random bytes that have codes.
func codable(rng *rand.Rand, l *Lengths) (data []byte) {
	for range rng.IntN(300) {
		if c := byte(rng.Uint32()); l.Literal[c] > 0 {
			data = append(data, c)
		}
	}
	return data
}

func TestHeaderInflates(t *testing.T) {
	rng := seedtest.Rand(t)
	buf := make([]byte, 4096)
	for range 300 {
		l := randomLengths(rng, MaxBits)
		data := codable(rng, &l)
		var w BitWriter
		w.Reset(buf)
		WriteHeader(&w, &l, true)
		literalsWith(&w, &l, data)
		n, _ := w.Close()
		got, err := inflate(buf[:n])
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %x, want %x, error %v", got, data, err)
		}
	}
}

func BenchmarkHeader(b *testing.B) {
	l := randomLengths(rand.New(rand.NewPCG(1, 0)), 12)
	var h Header
	b.Run("set", func(b *testing.B) {
		for b.Loop() {
			h.Set(&l)
		}
	})
	buf := make([]byte, 512)
	b.Run("write", func(b *testing.B) {
		var w BitWriter
		for b.Loop() {
			w.Reset(buf)
			h.Write(&w, true)
		}
	})
}

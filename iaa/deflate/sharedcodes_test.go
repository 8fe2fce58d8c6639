package deflate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// trained returns codes for pages.
func trained(tb testing.TB, tables int) []*Shared {
	tb.Helper()
	lengths, err := Train(context.Background(), samples(20, 4096), DefaultLevel, tables)
	if err != nil || len(lengths) != tables {
		tb.Fatalf("%d tables, error %v", len(lengths), err)
	}
	return prepare(tb, lengths)
}

func prepare(tb testing.TB, lengths []huffman.Lengths) (shared []*Shared) {
	tb.Helper()
	for i := range lengths {
		s, err := NewShared(&lengths[i])
		if err != nil {
			tb.Fatal(err)
		}
		shared = append(shared, s)
	}
	return shared
}

func samples(count, size int) (frames [][]byte) {
	rng := seedtest.Fixed(42)
	for range count {
		frames = append(frames, pages(rng, size))
	}
	return frames
}

// withPrefix makes a stream without a header one that others read.
func withPrefix(tb testing.TB, stream []byte, shared *Shared) []byte {
	tb.Helper()
	prefix, err := huffman.Prefix(&shared.lengths)
	if err != nil {
		tb.Fatal(err)
	}
	return append(prefix, stream...)
}

// checkShared is check for a stream without a header.
func checkShared(tb testing.TB, stream, src []byte, shared *Shared) {
	tb.Helper()
	r := &inspector{src: stream}
	if err := r.tokens(newDecoder(shared.lengths.Literal[:]), newDecoder(shared.lengths.Distance[:])); err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(r.out, src) || (r.pos+7)/8 != len(stream) || r.bits(8*len(stream)-r.pos) != 0 {
		tb.Fatalf("%d bytes of %d, bit %d of %d bytes", len(r.out), len(src), r.pos, len(stream))
	}
	if out := inflate(tb, withPrefix(tb, stream, shared)); !bytes.Equal(out, src) {
		tb.Fatalf("%d bytes of %d", len(out), len(src))
	}
}

func TestEncodeShared(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	shared := trained(t, 3)
	e := NewEncoder()
	for _, kind := range kinds {
		for i, size := range []int{0, 1, 100, 4096, 16384} {
			src := kind.make(rng, size)
			code := shared[i%len(shared)]
			for level := MinLevel; level <= MaxLevel; level++ {
				dst := make([]byte, 2*size+16)
				n, ok := e.EncodeShared(dst, src, level, code)
				if !ok {
					t.Fatalf("%s, level %d: %d bytes do not fit %d", kind.name, level, size, len(dst))
				}
				checkShared(t, dst[:n], src, code)
				if again, ok := e.EncodeShared(dst[:n], src, level, code); !ok || again != n {
					t.Fatalf("%s, level %d: %d bytes do not fit as many", kind.name, level, n)
				}
				if _, ok := e.EncodeShared(dst[:n-1], src, level, code); ok {
					t.Fatalf("%s, level %d: %d bytes fit one less", kind.name, level, n)
				}
			}
		}
	}
}

// Inputs of several pieces and of several frames.
func TestEncodeSharedLargeInputs(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	code := trained(t, 1)[0]
	e := NewEncoder()
	for _, size := range []int{pieceBytes + 1, frameBytes, frameBytes + 1, 2*frameBytes + 777} {
		src := pages(rng, size)
		for _, level := range []int{1, 5, 6} {
			dst := make([]byte, 2*size)
			n, ok := e.EncodeShared(dst, src, level, code)
			if !ok {
				t.Fatalf("level %d: %d bytes do not fit", level, size)
			}
			checkShared(t, dst[:n], src, code)
			if _, ok := e.EncodeShared(dst[:n], src, level, code); !ok {
				t.Fatalf("level %d: %d bytes do not fit as many", level, n)
			}
		}
	}
}

// A symbol without a code must not be used; what has one must do.
func TestEncodeSharedWithoutAllSymbols(t *testing.T) {
	t.Parallel()
	var lengths huffman.Lengths
	for _, symbol := range []int{'a', 'b', 'c', huffman.EndOfBlock} {
		lengths.Literal[symbol] = 2
	}
	lengths.Distance[0], lengths.Distance[1] = 1, 1
	code := prepare(t, []huffman.Lengths{lengths})[0]
	e := NewEncoder()
	var dst [64]byte
	for level := MinLevel; level <= MaxLevel; level++ {
		if _, ok := e.EncodeShared(dst[:], []byte("abcd"), level, code); ok {
			t.Errorf("level %d: d has no code", level)
		}
		n, ok := e.EncodeShared(dst[:], []byte("abccba"), level, code)
		if !ok || n != 2 {
			t.Fatalf("level %d: %d bytes, ok is %v", level, n, ok)
		}
		checkShared(t, dst[:n], []byte("abccba"), code)
	}
	// The optimal parser finds the way without matches, for which there are no
	// codes, through a whole piece.
	src := bytes.Repeat([]byte("abc"), pieceBytes/3)
	n, ok := e.EncodeShared(make([]byte, pieceBytes), src, MaxLevel, code)
	if want := (2*len(src) + 2 + 7) / 8; !ok || n != want {
		t.Errorf("%d bytes, want %d, ok is %v", n, want, ok)
	}
}

func TestEncodeBest(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	shared := trained(t, 4)
	e := NewEncoder()
	var ownUsed, sharedUsed int
	for _, kind := range kinds {
		for _, size := range []int{0, 100, 4096, 16384, pieceBytes + 5000} {
			src := kind.make(rng, size)
			for _, level := range []int{1, 2, 5, 6, 9} {
				if size > pieceBytes && level > 6 {
					continue
				}
				dst := make([]byte, 2*size+16)
				n, which, ok := e.EncodeBest(dst, src, level, shared)
				if !ok {
					t.Fatalf("%s, level %d: %d bytes do not fit", kind.name, level, size)
				}
				own := len(encode(t, NewEncoder(), src, level))
				if which == OwnHeader {
					ownUsed++
					check(t, dst[:n], src)
					if n != own {
						t.Fatalf("%s, level %d: %d bytes, by Encode %d", kind.name, level, n, own)
					}
				} else {
					sharedUsed++
					checkShared(t, dst[:n], src, shared[which])
					if 100*own < (100-ownGainPercent)*n {
						t.Fatalf("%s, level %d: %d bytes, with a header %d", kind.name, level, n, own)
					}
				}
				if again, w, ok := e.EncodeBest(dst[:n], src, level, shared); !ok || again != n || w != which {
					t.Fatalf("%s, level %d: %d bytes do not fit as many", kind.name, level, n)
				}
			}
		}
	}
	if ownUsed == 0 || sharedUsed == 0 {
		t.Errorf("%d times a header, %d times none", ownUsed, sharedUsed)
	}
}

// The codes chosen are the ones in which the tokens are shortest, and if only the
// stream with a header fits, it is taken.
func TestEncodeBestChooses(t *testing.T) {
	t.Parallel()
	shared := trained(t, 6)
	e := NewEncoder()
	dst := make([]byte, 8192)
	tight := 0
	for _, src := range samples(40, 4096) {
		n, which, ok := e.EncodeBest(dst, src, 5, shared)
		if !ok {
			t.Fatal("does not fit")
		}
		if which == OwnHeader {
			continue
		}
		for i, code := range shared {
			if other, ok := e.EncodeShared(make([]byte, 8192), src, 5, code); ok && other < n {
				t.Fatalf("codes %d: %d bytes, codes %d: %d", which, n, i, other)
			}
		}
		own := len(encode(t, NewEncoder(), src, 5))
		if own >= n {
			continue
		}
		tight++
		if got, which, ok := e.EncodeBest(dst[:own], src, 5, shared); !ok || which != OwnHeader || got != own {
			t.Fatalf("%d bytes with codes %d, ok is %v, want a header and %d", got, which, ok, own)
		}
	}
	t.Logf("%d times only a header fits", tight)
	if _, which, ok := e.EncodeBest(dst[:3], samples(1, 4096)[0], 5, shared); ok || which != OwnHeader {
		t.Error("a page fits 3 bytes")
	}
}

// Inputs of more than a frame, or without codes to share, have a header.
func TestEncodeBestWithHeader(t *testing.T) {
	t.Parallel()
	e := NewEncoder()
	src := pages(seedtest.Fixed(5), frameBytes+1)
	dst := make([]byte, bound(len(src)))
	for _, test := range []struct {
		src    []byte
		shared []*Shared
	}{{src, trained(t, 1)}, {src[:4096], nil}} {
		n, which, ok := e.EncodeBest(dst, test.src, 1, test.shared)
		if !ok || which != OwnHeader {
			t.Fatalf("codes %d, ok is %v", which, ok)
		}
		check(t, dst[:n], test.src)
	}
}

func TestNewSharedRefusesInvalidLengths(t *testing.T) {
	t.Parallel()
	if _, err := NewShared(&huffman.Lengths{}); !errors.Is(err, huffman.ErrLengths) {
		t.Errorf("error is %v", err)
	}
}

func TestTrain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	frames := samples(60, 4096)
	e := NewEncoder()
	size := func(tables int) (sum int) {
		lengths, err := Train(ctx, frames, DefaultLevel, tables)
		if err != nil || len(lengths) == 0 || len(lengths) > tables {
			t.Fatalf("%d tables of %d, error %v", len(lengths), tables, err)
		}
		again, err := Train(ctx, frames, DefaultLevel, tables)
		if err != nil || len(again) != len(lengths) {
			t.Fatalf("%d tables again, error %v", len(again), err)
		}
		for i := range lengths {
			if again[i] != lengths[i] {
				t.Fatalf("table %d differs the second time", i)
			}
			checkUniversal(t, &lengths[i])
		}
		shared := prepare(t, lengths)
		dst := make([]byte, 16384)
		for _, frame := range frames {
			n, _, ok := e.EncodeBest(dst, frame, DefaultLevel, shared)
			if !ok {
				t.Fatal("does not fit")
			}
			sum += n
		}
		return sum
	}
	one, four, sixteen := size(1), size(4), size(16)
	t.Logf("%d bytes with 1 table, %d with 4, %d with 16", one, four, sixteen)
	if four >= one || sixteen >= four {
		t.Errorf("%d bytes with 1 table, %d with 4, %d with 16", one, four, sixteen)
	}
}

// checkUniversal demands a code for all that a frame can need.
func checkUniversal(t *testing.T, lengths *huffman.Lengths) {
	t.Helper()
	if err := lengths.Check(); err != nil {
		t.Fatal(err)
	}
	for symbol, length := range lengths.Literal {
		if length == 0 || length > sharedBits {
			t.Fatalf("symbol %d has a code of %d bits", symbol, length)
		}
	}
	for symbol, length := range lengths.Distance {
		if (length == 0) != (symbol >= distanceSymbols) || length > sharedBits {
			t.Fatalf("distance %d has a code of %d bits", symbol, length)
		}
	}
}

// The most used tables come first.
func TestTrainOrdersTables(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	var frames [][]byte
	for i := range 40 {
		low := byte(0)
		if i%4 == 0 {
			low = 128
		}
		frames = append(frames, fill(4096, func() byte { return low + byte(rng.IntN(16)) }))
	}
	lengths, err := Train(context.Background(), frames, 1, 2)
	if err != nil || len(lengths) != 2 {
		t.Fatalf("%d tables, error %v", len(lengths), err)
	}
	if lengths[0].Literal[0] >= lengths[0].Literal[128] || lengths[1].Literal[0] <= lengths[1].Literal[128] {
		t.Errorf("the first table has %d bits for 0, %d for 128", lengths[0].Literal[0], lengths[0].Literal[128])
	}
}

func TestTrainWithoutUsefulSamples(t *testing.T) {
	t.Parallel()
	noise := randomBytes(seedtest.Rand(t), 4096)
	for name, test := range map[string]struct {
		frames [][]byte
		tables int
	}{
		"no samples":    {nil, 4},
		"empty samples": {[][]byte{nil, {}}, 4},
		"noise":         {[][]byte{noise}, 4},
		"no tables":     {samples(2, 4096), 0},
	} {
		if lengths, err := Train(context.Background(), test.frames, 1, test.tables); err != nil || len(lengths) > 0 {
			t.Errorf("%s: %d tables, error %v", name, len(lengths), err)
		}
	}
	// Of one sample there is one table, however many are allowed.
	if lengths, err := Train(context.Background(), samples(1, 4096), 1, 4); err != nil || len(lengths) != 1 {
		t.Errorf("%d tables of one sample, error %v", len(lengths), err)
	}
}

func TestTrainStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Train(ctx, samples(2, 4096), 1, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// BenchmarkEncodeBest shows what 16 shared tables cost.
func BenchmarkEncodeBest(b *testing.B) {
	src := benchmarkInput(b)
	const size = 4096
	var frames [][]byte
	for at := 0; at+size <= len(src) && len(frames) < 1024; at += max(size, len(src)/1024/size*size) {
		frames = append(frames, src[at:at+size])
	}
	lengths, err := Train(context.Background(), frames, DefaultLevel, 16)
	if err != nil {
		b.Fatal(err)
	}
	shared := prepare(b, lengths)
	dst := make([]byte, bound(size))
	e := NewEncoder()
	var in, out int
	b.SetBytes(size)
	for i := 0; b.Loop(); i++ {
		at := i % (len(src) / size) * size
		n, _, ok := e.EncodeBest(dst, src[at:at+size], DefaultLevel, shared)
		if !ok {
			b.Fatal("does not fit")
		}
		in, out = in+size, out+n
	}
	b.ReportMetric(float64(in)/float64(out), "ratio")
}

// pagesEnv names a file of pages for benchmarks, instead of generated ones.
const pagesEnv = "SABREFS_BENCH_PAGES"

func benchmarkInput(b *testing.B) []byte {
	b.Helper()
	path := os.Getenv(pagesEnv)
	if path == "" {
		return pages(seedtest.Fixed(1), 4<<20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

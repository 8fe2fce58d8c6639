package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"testing"

	kflate "github.com/klauspost/compress/flate"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// bound is enough for any stream of so many bytes: stored blocks.
func bound(srcBytes int) int { return srcBytes + 16 + 16*(srcBytes/pieceBytes+1) }

func encode(tb testing.TB, e *Encoder, src []byte, level int) []byte {
	tb.Helper()
	dst := make([]byte, bound(len(src)))
	n, ok := e.Encode(dst, src, level)
	if !ok {
		tb.Fatalf("level %d: %d bytes do not fit %d", level, len(src), len(dst))
	}
	return dst[:n]
}

// check reads a stream in three ways, one of them stricter than the RFC.
func check(tb testing.TB, stream, src []byte) *inspection {
	tb.Helper()
	found, err := inspect(stream)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(found.out, src) {
		tb.Fatalf("%d bytes differ from the %d expected", len(found.out), len(src))
	}
	if found.longest > rootBits {
		tb.Fatalf("a code has %d bits", found.longest)
	}
	for name, reader := range map[string]func(io.Reader) io.ReadCloser{
		"compress/flate":  flate.NewReader,
		"klauspost/flate": kflate.NewReader,
	} {
		in := bytes.NewReader(stream)
		out, err := io.ReadAll(reader(in))
		if err != nil || !bytes.Equal(out, src) || in.Len() > 0 {
			tb.Fatalf("%s: %d bytes of %d, %d not read, error %v", name, len(out), len(src), in.Len(), err)
		}
	}
	return found
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			rng := seedtest.Rand(t)
			e := NewEncoder()
			for _, size := range []int{1, 4096, 16384, 20000, 4096 + rng.IntN(60000)} {
				src := kind.make(rng, size)
				for level := MinLevel; level <= MaxLevel; level++ {
					stream := encode(t, e, src, level)
					check(t, stream, src)
					if len(stream) > size+5 {
						t.Fatalf("level %d: %d bytes became %d", level, size, len(stream))
					}
				}
			}
		})
	}
}

// All sizes up to a little more than a longest match.
func TestEncodeTinyInputs(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	e := NewEncoder()
	for size := range 301 {
		for i, kind := range kinds {
			src := kind.make(rng, size)
			level := MinLevel + (size+i)%MaxLevel
			check(t, encode(t, e, src, level), src)
		}
	}
}

// Inputs of several pieces and, above 256 KiB, of several frames.
func TestEncodeLargeInputs(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	e := NewEncoder()
	for _, size := range []int{pieceBytes, pieceBytes + 1, frameBytes + 1, 2*frameBytes + 12345} {
		src := pages(rng, size)
		for _, level := range []int{1, 2, 6} {
			found := check(t, encode(t, e, src, level), src)
			if want := (size + pieceBytes - 1) / pieceBytes; len(found.blocks) != want {
				t.Errorf("level %d: %d blocks, want %d", level, len(found.blocks), want)
			}
		}
	}
	src := pages(rng, pieceBytes+1000)
	check(t, encode(t, e, src, MaxLevel), src)
	src = randomBytes(rng, frameBytes+pieceBytes)
	found := check(t, encode(t, e, src, DefaultLevel), src)
	// A stored block has at most 65535 bytes, so that a piece takes two.
	if len(found.blocks) != 10 {
		t.Errorf("%d stored blocks, want 10", len(found.blocks))
	}
}

func TestEncodeEmptyInput(t *testing.T) {
	t.Parallel()
	for level := MinLevel; level <= MaxLevel; level++ {
		if stream := encode(t, NewEncoder(), nil, level); !bytes.Equal(stream, []byte{3, 0}) {
			t.Errorf("level %d: %x, want an empty block of the fixed code", level, stream)
		}
	}
}

// Matches reach back 4096 bytes and not one more.
func TestEncodeDistances(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	phrase := fill(26, func() byte { return byte(rng.Uint32()) })
	for distance := 4090; distance <= 4100; distance++ {
		noise := randomBytes(rng, distance-len(phrase))
		src := bytes.Join([][]byte{phrase, noise, phrase, []byte("!")}, nil)
		for level := MinLevel; level <= MaxLevel; level++ {
			found := check(t, encode(t, NewEncoder(), src, level), src)
			far := 0
			if distance <= maxDistance {
				far = distance
			}
			// One match saves less than a Huffman code of noise costs, so the
			// tokens are asked, not the stream.
			e := NewEncoder()
			encode(t, e, src, level)
			if got := longMatch(e.tokens, len(phrase)/2); got != far || found.far > maxDistance {
				t.Errorf("level %d: distance %d was coded as %d, want %d", level, distance, got, far)
			}
		}
	}
}

// longMatch returns the distance of the match that has at least so many bytes.
func longMatch(tokens []token, least int) int {
	for _, t := range tokens {
		if t.isMatch() && t.srcBytes() >= least {
			return int(t.offset()) + 1
		}
	}
	return 0
}

// Every length and every distance is coded as it should be.
func TestTokens(t *testing.T) {
	t.Parallel()
	src := make([]byte, 0, maxDistance+maxMatch)
	rng := seedtest.Rand(t)
	src = append(src, randomBytes(rng, maxDistance)...)
	var stream [64 << 10]byte
	for length := minMatch; length <= maxMatch; length++ {
		checkMatch(t, stream[:], src, length, 1+rng.IntN(maxDistance))
	}
	for distance := 1; distance <= maxDistance; distance += 1 + distance/100 {
		checkMatch(t, stream[:], src, minMatch+rng.IntN(maxMatch-minMatch+1), distance)
	}
	checkMatch(t, stream[:], src, maxMatch, maxDistance)
}

// checkMatch writes literals and one match with the fixed code.
func checkMatch(t *testing.T, dst, literals []byte, length, distance int) {
	t.Helper()
	e := NewEncoder()
	for _, c := range literals {
		e.tokens = append(e.tokens, token(c))
	}
	e.tokens = append(e.tokens, matchToken(uint32(length), uint32(distance)))
	e.blocks = append(e.blocks, block{tokens: span{0, len(e.tokens)}, kind: blockFixed})
	n := writeAll(e, dst)
	want := bytes.Clone(literals)
	for range length {
		want = append(want, want[len(want)-distance])
	}
	found, err := inspect(dst[:n])
	if err != nil || found.far != distance || !bytes.Equal(found.out, want) {
		t.Fatalf("match of %d at %d: %v", length, distance, err)
	}
}

// The destination may be exactly as long as the stream, and no byte shorter.
func TestEncodeFits(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	e := NewEncoder()
	for _, kind := range kinds {
		src := kind.make(rng, 5000+rng.IntN(3000))
		for level := MinLevel; level <= MaxLevel; level++ {
			want := encode(t, e, src, level)
			backing := bytes.Repeat([]byte{0xa5}, len(want)+32)
			n, ok := e.Encode(backing[:len(want):len(want)], src, level)
			if !ok || !bytes.Equal(backing[:n], want) {
				t.Fatalf("%s, level %d: %d bytes in %d, ok is %v", kind.name, level, n, len(want), ok)
			}
			if !bytes.Equal(backing[n:], bytes.Repeat([]byte{0xa5}, 32)) {
				t.Fatalf("%s, level %d: written beyond the destination", kind.name, level)
			}
			if n, ok := e.Encode(backing[:len(want)-1], src, level); ok {
				t.Fatalf("%s, level %d: %d bytes fit %d", kind.name, level, n, len(want)-1)
			}
		}
	}
	if _, ok := e.Encode(nil, nil, DefaultLevel); ok {
		t.Error("a stream fits no bytes")
	}
}

// What an encoder did before must not matter.
func TestEncodeIsDeterministic(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	used := NewEncoder()
	for _, kind := range kinds {
		src := kind.make(rng, 1+rng.IntN(9000))
		for level := MinLevel; level <= MaxLevel; level++ {
			if want := encode(t, NewEncoder(), src, level); !bytes.Equal(encode(t, used, src, level), want) {
				t.Fatalf("%s, level %d: another stream than that of a new encoder", kind.name, level)
			}
		}
	}
}

// Positions begin anew after 2 GiB of input.
func TestPositionsBeginAnew(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	e := NewEncoder()
	src := pages(rng, 2*frameBytes)
	for _, level := range []int{1, 5, 6} {
		want := encode(t, NewEncoder(), src[:10000], level)
		for _, base := range []uint32{lastPosition - 20000, lastPosition, lastPosition + 1, lastPosition + 20000} {
			encode(t, e, src[:20000], level)
			e.window.base = base
			for range 4 {
				if !bytes.Equal(encode(t, e, src[:10000], level), want) {
					t.Fatalf("level %d: another stream at position %d", level, base)
				}
			}
			if e.window.base > lastPosition {
				t.Fatalf("position is %d", e.window.base)
			}
		}
		// In the middle of an input.
		encode(t, e, src[:20000], level)
		e.window.base = lastPosition - 30000
		check(t, encode(t, e, src, level), src)
	}
}

func TestLevelsOutsideTheRange(t *testing.T) {
	t.Parallel()
	src := pages(seedtest.Fixed(1), 8192)
	e := NewEncoder()
	for level, same := range map[int]int{0: DefaultLevel, -5: MinLevel, 10: MaxLevel, 1000: MaxLevel} {
		if !bytes.Equal(encode(t, e, src, level), encode(t, e, src, same)) {
			t.Errorf("level %d is not as %d", level, same)
		}
	}
}

// Each level must be denser than the one below.
func TestLevelsAreDenser(t *testing.T) {
	t.Parallel()
	src := pages(seedtest.Fixed(7), 256<<10)
	e := NewEncoder()
	before := len(src)
	for level := MinLevel; level <= MaxLevel; level++ {
		sum := 0
		for at := 0; at < len(src); at += 16384 {
			sum += len(encode(t, e, src[at:at+16384], level))
		}
		if sum >= before {
			t.Errorf("level %d: %d bytes, the level below %d", level, sum, before)
		}
		before = sum
	}
}

// The densest level must be denser than a library's with the same window.
func TestDensity(t *testing.T) {
	t.Parallel()
	src := pages(seedtest.Fixed(8), 256<<10)
	for _, size := range []int{4096, 16384} {
		library, ours, e := 0, 0, NewEncoder()
		for at := 0; at < len(src); at += size {
			library += len(libraryStream(t, src[at:at+size]))
			ours += len(encode(t, e, src[at:at+size], MaxLevel))
		}
		t.Logf("frames of %d bytes: %d bytes, library %d", size, ours, library)
		if 100*ours > 98*library {
			t.Errorf("frames of %d bytes: %d bytes, library %d", size, ours, library)
		}
	}
}

func libraryStream(t *testing.T, src []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := kflate.NewWriterWindow(&out, maxDistance)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A frame whose halves have nothing in common is split, one of a kind is not.
func TestSplit(t *testing.T) {
	t.Parallel()
	rng := seedtest.Rand(t)
	same := fill(16384, func() byte { return byte(rng.NormFloat64()*10 + 60) })
	halves := bytes.Clone(same)
	for i := range halves[8192:] {
		halves[8192+i] ^= 0xe0
	}
	e := NewEncoder()
	for level := 8; level <= MaxLevel; level++ {
		if n := len(check(t, encode(t, e, same, level), same).blocks); n != 1 {
			t.Errorf("level %d: %d blocks of a frame of one kind", level, n)
		}
		if n := len(check(t, encode(t, e, halves, level), halves).blocks); n != 2 {
			t.Errorf("level %d: %d blocks of a frame of two kinds", level, n)
		}
	}
}

// Blocks must be worth their headers, as they are in pages.
func TestSplitGains(t *testing.T) {
	t.Parallel()
	src := pages(seedtest.Fixed(9), 256<<10)
	e := NewEncoder()
	whole := levels[MaxLevel]
	whole.splitBytes = 0
	split, unsplit := 0, 0
	for at := 0; at < len(src); at += 16384 {
		split += len(encode(t, e, src[at:at+16384], MaxLevel))
		e.sizeBits = 0
		e.load(src[at:at+16384], false, &whole)
		e.parse(&whole)
		unsplit += (e.sizeBits + 7) / 8
	}
	t.Logf("%d bytes, %d with one block for each frame", split, unsplit)
	if 100*split > 95*unsplit {
		t.Errorf("%d bytes, %d with one block for each frame", split, unsplit)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	src := pages(seedtest.Fixed(3), 16384)
	dst := make([]byte, bound(len(src)))
	shared := trained(t, 2)
	e := NewEncoder()
	for level := MinLevel; level <= MaxLevel; level++ {
		e.Encode(dst, src, level)
		e.EncodeBest(dst, src, level, shared)
		for what, f := range map[string]func(){
			"Encode":       func() { e.Encode(dst, src, level) },
			"EncodeShared": func() { e.EncodeShared(dst, src, level, shared[0]) },
			"EncodeBest":   func() { e.EncodeBest(dst, src, level, shared) },
		} {
			if n := testing.AllocsPerRun(3, f); n != 0 {
				t.Errorf("level %d: %s makes %v allocations", level, what, n)
			}
		}
	}
}

// FuzzEncode encodes anything at any level, in several inputs one after the
// other, of which the second begins in the first.
func FuzzEncode(f *testing.F) {
	rng := seedtest.Fixed(1)
	for i, kind := range kinds {
		f.Add(kind.make(rng, 400), uint8(i), uint16(100))
	}
	f.Add([]byte{}, uint8(0), uint16(0))
	e := NewEncoder()
	f.Fuzz(func(t *testing.T, src []byte, level uint8, cut uint16) {
		src = src[:min(len(src), 1<<17)]
		cutAt := min(int(cut), len(src))
		for _, part := range [][]byte{src, src[cutAt:]} {
			stream := encode(t, e, part, int(level%10))
			check(t, stream, part)
			if _, ok := e.Encode(stream[:len(stream)-1], part, int(level%10)); ok {
				t.Fatalf("fits %d bytes", len(stream)-1)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	src := benchmarkInput(b)
	dst := make([]byte, bound(1<<18))
	for _, size := range []int{16384, 4096} {
		for level := MinLevel; level <= MaxLevel; level++ {
			b.Run(fmt.Sprintf("frame=%d/level=%d", size, level), func(b *testing.B) {
				e := NewEncoder()
				count := len(src) / size
				var in, out int
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i++ {
					at := i % count * size
					n, ok := e.Encode(dst, src[at:at+size], level)
					if !ok {
						b.Fatal("does not fit")
					}
					in, out = in+size, out+n
				}
				b.ReportMetric(float64(in)/float64(out), "ratio")
			})
		}
	}
}

func writeAll(e *Encoder, dst []byte) int {
	var w huffman.BitWriter
	w.Reset(dst)
	e.write(&w, true)
	n, _ := w.Close()
	return n
}

func inflate(tb testing.TB, stream []byte) []byte {
	tb.Helper()
	in := bytes.NewReader(stream)
	out, err := io.ReadAll(flate.NewReader(in))
	if err != nil || in.Len() > 0 {
		tb.Fatalf("error %v, %d bytes not read", err, in.Len())
	}
	return out
}

package densezstd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var allLevels = []Level{LevelDefault, LevelBetter, LevelBest}

func newTestEncoder(tb testing.TB, level Level) *Encoder {
	tb.Helper()
	e, err := NewEncoder(level, MaxBytes)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// oracle decodes what encoders made with other people's decoders: each frame
// at once with klauspost's, and all of them at last with the zstd command, if
// there is one.
type oracle struct {
	decoder        *zstd.Decoder
	frames, expect []byte
}

func newOracle(tb testing.TB) *oracle {
	tb.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	o := &oracle{decoder: d}
	tb.Cleanup(func() {
		d.Close()
		o.askCommand(tb)
	})
	return o
}

// check decodes frame and compares with src.
func (o *oracle) check(tb testing.TB, frame, src []byte) {
	tb.Helper()
	got, err := o.decoder.DecodeAll(frame, nil)
	if err != nil {
		tb.Fatalf("%d bytes: %v", len(src), err)
	}
	if !bytes.Equal(got, src) {
		tb.Fatalf("%d bytes: the decoded bytes differ", len(src))
	}
	o.frames = append(o.frames, frame...)
	o.expect = append(o.expect, src...)
}

func (o *oracle) askCommand(tb testing.TB) {
	tb.Helper()
	name, err := exec.LookPath("zstd")
	if err != nil || len(o.frames) == 0 {
		return
	}
	cmd := exec.Command(name, "-dc")
	cmd.Stdin = bytes.NewReader(o.frames)
	got, err := cmd.Output()
	if err != nil {
		tb.Errorf("%s -dc: %v", name, err)
	}
	if !bytes.Equal(got, o.expect) {
		tb.Errorf("%s -dc: %d bytes differ from the %d expected", name, len(got), len(o.expect))
	}
}

// pages makes n bytes that resemble guest memory: per page either noise, text,
// code, tables of pointers or counters, mostly zeros, or one of those with
// changes.
func pages(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	var out []byte
	for len(out) < n {
		out = append(out, page(rng, out)...)
	}
	return out[:n]
}

func page(rng *rand.Rand, before []byte) []byte {
	p := make([]byte, 4096)
	switch kind := rng.IntN(10); {
	case kind == 0:
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
	case kind < 3:
		words := []string{"the ", "quick ", "snapshot ", "\n", "of ", "memory", "=", "0x", "page_", "frame "}
		for i := 0; i < len(p); {
			i += copy(p[i:], words[rng.IntN(len(words))])
		}
	case kind < 6:
		base := rng.Uint64() | 0xffff<<48
		for i := 0; i+8 <= len(p); i += 8 {
			v := base + uint64(rng.IntN(1<<14))*64
			if rng.IntN(3) == 0 {
				v = uint64(rng.IntN(8))
			}
			for b := range 8 {
				p[i+b] = byte(v >> (8 * b))
			}
		}
	case kind < 8 && len(before) >= len(p):
		at := rng.IntN(len(before) - len(p) + 1)
		copy(p, before[at:])
		for range rng.IntN(200) {
			p[rng.IntN(len(p))] = byte(rng.Uint32())
		}
	default:
		for range rng.IntN(300) {
			p[rng.IntN(len(p))] = byte(rng.IntN(20))
		}
	}
	return p
}

func TestRoundTripLengths(t *testing.T) {
	lengths := []int{
		1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 65791, 65792,
		131071, 131072, 131073, 262143, 262144,
	}
	for n := 1; n <= 300; n++ {
		lengths = append(lengths, n)
	}
	for _, level := range allLevels {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			o, e := newOracle(t), newTestEncoder(t, level)
			for _, n := range lengths {
				for name, src := range map[string][]byte{
					"pages": pages(uint64(n), n),
					"zeros": make([]byte, n),
					"noise": noise(uint64(n), n, 256),
					"few":   noise(uint64(n), n, 3),
					"text":  bytes.Repeat([]byte("the snapshot of a page; "), n/24+1)[:n],
				} {
					frame, err := e.Encode(nil, src)
					if err != nil {
						t.Fatalf("%s of %d bytes: %v", name, n, err)
					}
					o.check(t, frame, src)
					if most := n + 16 + 3*(n/splitGrain+1); len(frame) > most {
						t.Errorf("%s of %d bytes became %d, expected at most %d", name, n, len(frame), most)
					}
				}
			}
		})
	}
}

// noise is n random bytes below limit.
func noise(seed uint64, n, limit int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.IntN(limit))
	}
	return out
}

// TestRoundTripMixtures puts stretches of different kinds and odd lengths next
// to each other, so that blocks of all types follow each other.
func TestRoundTripMixtures(t *testing.T) {
	for _, level := range allLevels {
		o, e := newOracle(t), newTestEncoder(t, level)
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, 2))
			var src []byte
			for len(src) < MaxBytes {
				n := 1 + rng.IntN(1<<rng.IntN(18))
				switch rng.IntN(5) {
				case 0:
					src = append(src, make([]byte, n)...)
				case 1:
					src = append(src, noise(rng.Uint64(), n, 256)...)
				case 2:
					src = append(src, bytes.Repeat(noise(rng.Uint64(), 1+rng.IntN(40), 256), n)[:n]...)
				case 3:
					src = append(src, noise(rng.Uint64(), n, 1+rng.IntN(30))...)
				default:
					src = append(src, pages(rng.Uint64(), n)...)
				}
			}
			src = src[:MaxBytes-rng.IntN(2)*rng.IntN(MaxBytes)]
			frame, err := e.Encode(nil, src)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("level %d, seed %d: %d bytes became %d", level, seed, len(src), len(frame))
			o.check(t, frame, src)
		}
	}
}

// TestSameFrameAgain checks that nothing of an earlier frame shows in a later
// one: images are to be the same whichever worker packs a frame.
func TestSameFrameAgain(t *testing.T) {
	src := pages(1, 64<<10)
	for _, level := range allLevels {
		e := newTestEncoder(t, level)
		first, err := e.Encode(nil, src)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(5) {
			if _, err := e.Encode(nil, pages(seed+2, 50000+int(seed)*40000)); err != nil {
				t.Fatal(err)
			}
			again, err := e.Encode(nil, src)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, again) {
				t.Errorf("level %d: another frame after encoding others", level)
			}
		}
	}
}

// TestTablesRunOver makes the positions in the tables of a match finder start
// again, which happens after 2 GiB.
func TestTablesRunOver(t *testing.T) {
	src := pages(1, 64<<10)
	for _, level := range allLevels {
		o, e := newOracle(t), newTestEncoder(t, level)
		first, err := e.Encode(nil, src)
		if err != nil {
			t.Fatal(err)
		}
		setBase(e, maxBase-100<<10)
		for range 5 {
			again, err := e.Encode(nil, src)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, again) {
				t.Errorf("level %d: another frame near the end of the tables", level)
			}
			o.check(t, again, src)
		}
	}
}

func setBase(e *Encoder, base uint32) {
	switch p := e.parser.(type) {
	case *lazyParser:
		p.finder.base = base
	case *optimalParser:
		switch f := p.finder.(type) {
		case *chainFinder:
			f.base = base
		case *treeFinder:
			f.base = base
		}
	}
}

func TestAppendsToDst(t *testing.T) {
	e := newTestEncoder(t, LevelDefault)
	alone, err := e.Encode(nil, []byte("some bytes"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := e.Encode([]byte("before"), []byte("some bytes"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after, append([]byte("before"), alone...)) {
		t.Errorf("got %q, expected %q after what dst had", after, alone)
	}
}

func TestNoAllocationsPerFrame(t *testing.T) {
	src := pages(3, 128<<10)
	for _, level := range allLevels {
		e := newTestEncoder(t, level)
		dst := make([]byte, 0, 2*len(src))
		allocs := testing.AllocsPerRun(10, func() {
			if _, err := e.Encode(dst, src); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0 {
			t.Errorf("level %d: %v allocations per frame", level, allocs)
		}
	}
}

// TestDenser compares with what the default level of klauspost's makes of the
// same pages.
func TestDenser(t *testing.T) {
	src := pages(4, 64<<10)
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	most := len(w.EncodeAll(src, nil))
	for _, level := range allLevels {
		frame, err := newTestEncoder(t, level).Encode(nil, src)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("level %d: %d bytes, the level before %d", level, len(frame), most)
		if len(frame) >= most {
			t.Errorf("level %d: %d bytes, expected less than %d", level, len(frame), most)
		}
		most = len(frame)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		level    Level
		maxBytes int
	}{{LevelDefault, 0}, {LevelDefault, -1}, {LevelDefault, MaxBytes + 1}, {0, 4096}, {LevelBest + 1, 4096}} {
		if _, err := NewEncoder(c.level, c.maxBytes); err == nil {
			t.Errorf("level %d, %d bytes: no error", c.level, c.maxBytes)
		}
	}
	e, err := NewEncoder(LevelDefault, 4096)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 4097} {
		if _, err := e.Encode(nil, make([]byte, n)); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
}

func FuzzEncodeRoundTrip(f *testing.F) {
	f.Add([]byte("abcabcabcabc"), uint16(1))
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	var encoders []*Encoder
	for _, level := range allLevels {
		encoders = append(encoders, newTestEncoder(f, level))
	}
	f.Fuzz(func(t *testing.T, seed []byte, repeat uint16) {
		if len(seed) == 0 {
			return
		}
		src := expand(seed, int(repeat))
		for _, e := range encoders {
			frame, err := e.Encode(nil, src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decoder.DecodeAll(frame, nil)
			if err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%d bytes became %d, which decode to %d: %v", len(src), len(frame), len(got), err)
			}
		}
	})
}

// expand makes up to eight times more bytes of a fuzzed input, which itself
// seldom is long: every three bytes of it are a copy from before and a rest of
// the input.
func expand(seed []byte, more int) []byte {
	most := min(len(seed)+more*8, MaxBytes)
	out := append([]byte(nil), seed[:min(len(seed), most)]...)
	for i := 0; i+2 < len(seed) && len(out) < most; i += 3 {
		back := 1 + int(seed[i])<<(seed[i+2]&7)%len(out)
		back = min(back, len(out))
		for range 1 + int(seed[i+1])<<(seed[i+2]>>5) {
			out = append(out, out[len(out)-back])
		}
		out = append(out, seed[i:]...)
	}
	return out[:min(len(out), most)]
}

func BenchmarkEncode(b *testing.B) {
	const size = 64 << 10
	src := pages(5, 4<<20)
	for _, level := range allLevels {
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			e := newTestEncoder(b, level)
			dst := make([]byte, 0, 2*size)
			b.SetBytes(size)
			packed, at := 0, 0
			for b.Loop() {
				frame, err := e.Encode(dst, src[at:at+size])
				if err != nil {
					b.Fatal(err)
				}
				packed += len(frame)
				at = (at + size) % len(src)
			}
			b.ReportMetric(100*float64(packed)/float64(b.N*size), "%")
		})
	}
}

package iaa

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// text makes bytes that compress, and no two seeds the same.
func text(seed uint64, lenBytes int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	words := []string{"page ", "frame ", "struct ", "0x7fff", "guest ", "\n\t"}
	b := make([]byte, lenBytes)
	for n := 0; n < lenBytes; {
		n += copy(b[n:], words[r.IntN(len(words))])
	}
	return b
}

func noise(seed uint64, lenBytes int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, lenBytes)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func compressed(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	job := []Job{{Src: raw, Dst: make([]byte, len(raw)+64)}}
	wantNoError(tb, Software().Compress(tb.Context(), job))
	wantNoError(tb, job[0].Err)
	return job[0].Dst[:job[0].N]
}

// decompress runs one job.
func decompress(packed []byte, rawBytes int) Job {
	job := []Job{{Src: packed, Dst: make([]byte, rawBytes)}}
	if err := Software().Decompress(context.Background(), job); err != nil {
		job[0].Err = err
	}
	return job[0]
}

func TestName(t *testing.T) {
	if name := Software().Name(); name != "software" {
		t.Errorf("name is %q", name)
	}
}

func TestRoundTrip(t *testing.T) {
	engine := Software()
	var pack []Job
	var raws [][]byte
	for i, lenBytes := range []int{1, 2, 100, 4096, 16384, 65536, 262144} {
		raws = append(raws, text(uint64(i), lenBytes))
		pack = append(pack, Job{Src: raws[i], Dst: make([]byte, lenBytes+64)})
	}
	wantNoError(t, engine.Compress(t.Context(), pack))
	unpack := make([]Job, len(pack))
	for i, job := range pack {
		wantNoError(t, job.Err)
		if job.CRC32 != crc32.ChecksumIEEE(raws[i]) {
			t.Errorf("job %d: checksum of the input is %08x", i, job.CRC32)
		}
		unpack[i] = Job{Src: job.Dst[:job.N], Dst: make([]byte, len(raws[i]))}
	}
	wantNoError(t, engine.Decompress(t.Context(), unpack))
	for i, job := range unpack {
		wantNoError(t, job.Err)
		if job.N != len(raws[i]) || job.CRC32 != crc32.ChecksumIEEE(raws[i]) || !bytes.Equal(job.Dst, raws[i]) {
			t.Errorf("job %d: %d bytes with checksum %08x", i, job.N, job.CRC32)
		}
	}
}

// TestWindow checks that matches reach back as far as the accelerator decodes
// and not further: noise that repeats within the window shrinks, noise that
// repeats beyond it does not.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		period  int
		shrinks bool
	}{{WindowBytes - 512, true}, {WindowBytes + 512, false}, {8 * WindowBytes, false}} {
		raw := bytes.Repeat(noise(1, c.period), 3)
		job := []Job{{Src: raw, Dst: make([]byte, len(raw)-1)}}
		wantNoError(t, Software().Compress(t.Context(), job))
		if got := job[0].Err == nil; got != c.shrinks {
			t.Errorf("noise that repeats every %d bytes: %d of %d bytes, %v", c.period, job[0].N, len(raw), job[0].Err)
		}
	}
}

func TestNoGain(t *testing.T) {
	engine := Software()
	raw := noise(2, 4096)
	for _, room := range []int{0, 1, 100, 4095} {
		dst := bytes.Repeat([]byte{0xa5}, 8192)
		job := []Job{{Src: raw, Dst: dst[:room]}, {Src: text(1, 4096), Dst: make([]byte, 4096)}}
		wantNoError(t, engine.Compress(t.Context(), job))
		if !errors.Is(job[0].Err, ErrNoGain) {
			t.Errorf("noise into %d bytes: %v", room, job[0].Err)
		}
		wantNoError(t, job[1].Err) // the one bad job spoils no other
		if !bytes.Equal(dst[room:], bytes.Repeat([]byte{0xa5}, len(dst)-room)) {
			t.Errorf("bytes behind a destination of %d were written", room)
		}
	}
}

func TestDecompressErrors(t *testing.T) {
	raw := text(3, 4096)
	packed := compressed(t, raw)
	for name, c := range map[string]struct {
		packed   []byte
		rawBytes int
		class    error
	}{
		"stream is longer":          {packed, 4095, ErrLength},
		"stream is longer than 0":   {packed, 0, ErrLength},
		"stream is shorter":         {packed, 4097, ErrLength},
		"stream is much shorter":    {packed, 1 << 20, ErrLength},
		"empty stream of no bytes":  {compressed(t, nil), 1, ErrLength},
		"nothing":                   {nil, 4096, ErrStream},
		"cut by a byte":             {packed[:len(packed)-1], 4096, ErrStream},
		"cut in half":               {packed[:len(packed)/2], 4096, ErrStream},
		"bytes behind the stream":   {slices.Concat(packed, []byte{0}), 4096, ErrStream},
		"two streams":               {slices.Concat(packed, packed), 4096, ErrStream},
		"reserved block type":       {[]byte{0xff, 0xff}, 4096, ErrStream},
		"stored block of bad check": {[]byte{0x01, 0x05, 0x00, 0x05, 0x00}, 5, ErrStream},
		"match before the start":    {[]byte{0x03, 0x02, 0x00}, 3, ErrStream},
	} {
		job := decompress(c.packed, c.rawBytes)
		if !errors.Is(job.Err, c.class) {
			t.Errorf("%s: error is %v, want %v", name, job.Err, c.class)
		}
	}
	if job := decompress(compressed(t, nil), 0); job.Err != nil || job.N != 0 {
		t.Errorf("nothing at all: %d bytes, %v", job.N, job.Err)
	}
}

// TestEveryCut checks that no part of a stream passes for the whole.
func TestEveryCut(t *testing.T) {
	raw := text(4, 2000)
	packed := compressed(t, raw)
	for n := range packed {
		if job := decompress(packed[:n], len(raw)); job.Err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(packed))
		}
	}
}

// TestReadsAnyWindow checks a stream of another compressor, whose matches reach
// back 32 KiB: "every engine reads any".
func TestReadsAnyWindow(t *testing.T) {
	far := append(noise(5, 20000), noise(5, 20000)...)
	packed := compressedFar(t, far)
	if len(packed) > 25000 {
		t.Fatalf("the far matches are not used: %d bytes", len(packed))
	}
	job := decompress(packed, len(far))
	wantNoError(t, job.Err)
	if !bytes.Equal(job.Dst, far) {
		t.Error("other bytes")
	}
}

// TestBatchErrorsStayApart mixes good and bad streams.
func TestBatchErrorsStayApart(t *testing.T) {
	raw := text(6, 4096)
	packed := compressed(t, raw)
	var jobs []Job
	for i := range 30 {
		src := packed
		if i%3 == 1 {
			src = packed[:i]
		}
		jobs = append(jobs, Job{Src: src, Dst: make([]byte, len(raw))})
	}
	wantNoError(t, Software().Decompress(t.Context(), jobs))
	for i, job := range jobs {
		if bad := i%3 == 1; bad != (job.Err != nil) || !bad && !bytes.Equal(job.Dst, raw) {
			t.Errorf("job %d: %v", i, job.Err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	raw := text(7, 100)
	for name, run := range map[string]func(context.Context, []Job) error{
		"compress": Software().Compress, "decompress": Software().Decompress,
	} {
		jobs := []Job{{Src: raw, Dst: make([]byte, 200)}, {Src: raw, Dst: make([]byte, 200)}}
		if err := run(ctx, jobs); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 jobs") {
			t.Errorf("%s: error is %v", name, err)
		}
		for i, job := range jobs {
			if !errors.Is(job.Err, context.Canceled) || job.N != 0 {
				t.Errorf("%s: job %d: %d bytes, %v", name, i, job.N, job.Err)
			}
		}
		wantNoError(t, run(ctx, nil)) // no job, nothing to end
	}
}

func TestManyGoroutines(t *testing.T) {
	engine := Software()
	var running sync.WaitGroup
	for i := range uint64(8) {
		raw := text(i, 10000+int(i))
		running.Go(func() {
			for range 20 {
				pack := []Job{{Src: raw, Dst: make([]byte, len(raw))}}
				if err := engine.Compress(t.Context(), pack); err != nil || pack[0].Err != nil {
					t.Errorf("compress: %v, %v", err, pack[0].Err)
					return
				}
				unpack := []Job{{Src: pack[0].Dst[:pack[0].N], Dst: make([]byte, len(raw))}}
				if err := engine.Decompress(t.Context(), unpack); err != nil || !bytes.Equal(unpack[0].Dst, raw) {
					t.Errorf("decompress: %v, %v", err, unpack[0].Err)
				}
			}
		})
	}
	running.Wait()
}

func BenchmarkDecompress(b *testing.B) {
	raw := text(1, 16<<10)
	packed := compressed(b, raw)
	engine := Software()
	jobs := []Job{{Src: packed, Dst: make([]byte, len(raw))}}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		wantNoError(b, engine.Decompress(b.Context(), jobs))
		wantNoError(b, jobs[0].Err)
	}
}

func BenchmarkCompress(b *testing.B) {
	raw := text(1, 16<<10)
	engine := Software()
	jobs := []Job{{Src: raw, Dst: make([]byte, len(raw))}}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		wantNoError(b, engine.Compress(b.Context(), jobs))
		wantNoError(b, jobs[0].Err)
	}
}

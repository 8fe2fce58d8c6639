package iaa

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"sabrefs/iaa/deflate"
	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// literalLengths are codes for the bytes of the samples and for matches of the
// given lengths.
func literalLengths(samples [][]byte, lengthSymbols ...int) *huffman.Lengths {
	freqs := make([]uint32, huffman.LiteralSymbols)
	for _, sample := range samples {
		for _, b := range sample {
			freqs[b]++
		}
		freqs[huffman.EndOfBlock]++
	}
	for _, symbol := range lengthSymbols {
		freqs[symbol]++
	}
	var l huffman.Lengths
	var b huffman.Builder
	b.Build(l.Literal[:], freqs, huffman.MaxBits)
	b.Build(l.Distance[:], []uint32{9, 3, 1, 1, 29: 0}, huffman.MaxBits)
	return &l
}

// headerless writes a stream without a header: the bytes, then times matches of 3
// bytes that repeat the last one.
func headerless(tb testing.TB, l *huffman.Lengths, data []byte, times int) (packed, raw []byte) {
	tb.Helper()
	var literals [huffman.LiteralSymbols]uint16
	var distances [huffman.DistanceSymbols]uint16
	huffman.ReversedCodes(literals[:], l.Literal[:])
	huffman.ReversedCodes(distances[:], l.Distance[:])
	packed = make([]byte, 2*len(data)+4*times+64)
	var w huffman.BitWriter
	w.Reset(packed)
	write := func(symbol int) { w.Write(uint64(literals[symbol]), uint(l.Literal[symbol])) }
	for _, b := range data {
		write(int(b))
	}
	raw = bytes.Clone(data)
	for range times {
		write(257)
		w.Write(uint64(distances[0]), uint(l.Distance[0]))
		raw = append(raw, bytes.Repeat(raw[len(raw)-1:], 3)...)
	}
	write(huffman.EndOfBlock)
	n, ok := w.Close()
	if !ok {
		tb.Fatal("no room for the stream")
	}
	return packed[:n:n], raw
}

// tableSamples are streams with shared codes, and their raw bytes.
func tableSamples(tb testing.TB, rng *rand.Rand, count int) (jobs []Job, raws [][]byte) {
	tb.Helper()
	var table *Table
	var l *huffman.Lengths
	for i := range count {
		data := text(rng.Uint64(), 1+rng.IntN(3000))
		if i%4 == 3 {
			data = noise(rng.Uint64(), 1+rng.IntN(500))
		}
		if i%3 == 0 {
			var err error
			l = literalLengths([][]byte{data, text(1, 1000), noise(1, 5000)}, 257)
			table, err = NewTable(l)
			wantNoError(tb, err)
		}
		packed, raw := headerless(tb, l, data, i%5)
		jobs = append(jobs, Job{Src: packed, Dst: make([]byte, len(raw)), Table: table})
		raws = append(raws, raw)
	}
	return jobs, raws
}

// TestTable decodes streams without headers, and with the prefix as any other
// stream: here and by the standard library.
func TestTable(t *testing.T) {
	jobs, raws := tableSamples(t, seedtest.Rand(t), 60)
	wantNoError(t, Software().Decompress(t.Context(), jobs))
	checkUnpacked(t, jobs, raws)
	whole := make([]Job, len(jobs))
	for i, job := range jobs {
		packed := slices.Concat(job.Table.Prefix(), job.Src)
		whole[i] = Job{Src: packed, Dst: make([]byte, len(raws[i]))}
		raw, err := standardDecode(packed, len(raws[i]))
		if err != nil || !bytes.Equal(raw, raws[i]) {
			t.Errorf("stream %d: the standard library decodes %d bytes of %d, %v", i, len(raw), len(raws[i]), err)
		}
	}
	wantNoError(t, Software().Decompress(t.Context(), whole))
	checkUnpacked(t, whole, raws)
}

// TestTableErrors damages streams with shared codes.
func TestTableErrors(t *testing.T) {
	jobs, raws := tableSamples(t, seedtest.Rand(t), 60)
	var bad []Job
	var classes []error
	add := func(i int, packed []byte, rawBytes int, class error) {
		bad = append(bad, Job{Src: packed, Dst: make([]byte, rawBytes), Table: jobs[i].Table})
		classes = append(classes, class)
	}
	for i, job := range jobs {
		n := len(raws[i])
		add(i, job.Src[:len(job.Src)-1], n, ErrStream)
		add(i, nil, n, ErrStream)
		add(i, slices.Concat(job.Src, []byte{0}), n, ErrStream)
		add(i, job.Src, n-1, ErrLength)
		add(i, job.Src, n+1, ErrLength)
	}
	wantNoError(t, Software().Decompress(t.Context(), bad))
	for i, job := range bad {
		if !errors.Is(job.Err, classes[i]) || job.CRC32 != 0 {
			t.Errorf("stream %d: checksum %08x, error is %v, want %v", i, job.CRC32, job.Err, classes[i])
		}
	}
}

// TestTablesAtOnce shares tables among goroutines, in batches with streams that
// have headers.
func TestTablesAtOnce(t *testing.T) {
	engine := Software()
	jobs, raws := tableSamples(t, seedtest.Rand(t), 20)
	others, otherRaws := unpackJobs(t, 20, false)
	for i := range others {
		jobs = slices.Insert(jobs, 2*i, others[i])
		raws = slices.Insert(raws, 2*i, otherRaws[i])
	}
	var running sync.WaitGroup
	for range 4 {
		own := slices.Clone(jobs)
		for i := range own {
			own[i].Dst = make([]byte, len(raws[i]))
		}
		running.Go(func() {
			for range 10 {
				if err := engine.Decompress(t.Context(), own); err != nil {
					t.Error(err)
				}
				checkUnpacked(t, own, raws)
			}
		})
	}
	running.Wait()
}

// TestCompressWithTables offers tables for compression: one that suits is used and
// named in the job, and the stream is that table's; others are not.
func TestCompressWithTables(t *testing.T) {
	raw := text(5, 700)
	trained, err := deflate.Train(t.Context(), [][]byte{text(6, 700), text(7, 700)}, DefaultLevel, 1)
	wantNoError(t, err)
	tables := make([]*Table, 2)
	for i, l := range []*huffman.Lengths{literalLengths([][]byte{noise(3, 1)}, 257), &trained[0]} {
		tables[i], err = NewTable(l)
		wantNoError(t, err)
	}
	jobs := []Job{
		{Src: raw, Tables: tables},
		{Src: raw, Tables: tables[:1], Table: tables[1]}, // of a job before
		{Src: raw},
		{Src: bytes.Repeat([]byte{0x80, 0x90, 0xa0}, 2000), Tables: tables, Table: tables[1]},
	}
	for i := range jobs {
		jobs[i].Dst = make([]byte, len(jobs[i].Src))
	}
	wantNoError(t, Software().Compress(t.Context(), jobs))
	for i, want := range []*Table{tables[1], nil, nil, nil} {
		job := jobs[i]
		wantNoError(t, job.Err)
		if job.Table != want || job.CRC32 != crc32.ChecksumIEEE(job.Src) {
			t.Errorf("job %d: table %p of %p, checksum %08x", i, job.Table, tables, job.CRC32)
		}
		back := []Job{{Src: job.Dst[:job.N], Dst: make([]byte, len(job.Src)), Table: job.Table}}
		wantNoError(t, Software().Decompress(t.Context(), back))
		checkUnpacked(t, back, [][]byte{job.Src})
	}
	if jobs[0].N >= jobs[2].N {
		t.Errorf("%d bytes with shared codes, %d with a header", jobs[0].N, jobs[2].N)
	}
}

func TestNewTableErrors(t *testing.T) {
	for name, change := range map[string]func(l *huffman.Lengths){
		"no end of block":               func(l *huffman.Lengths) { l.Literal[huffman.EndOfBlock] = 0 },
		"too many literal codes":        func(l *huffman.Lengths) { l.Literal['x'] = 1 },
		"too few literal codes":         func(l *huffman.Lengths) { l.Literal[0] = 2 },
		"literal code of 16 bits":       func(l *huffman.Lengths) { l.Literal['x'] = 16 },
		"too many distance codes":       func(l *huffman.Lengths) { l.Distance[0], l.Distance[1], l.Distance[2] = 1, 1, 1 },
		"too few distance codes":        func(l *huffman.Lengths) { l.Distance[0] = 2 },
		"nothing at all":                func(l *huffman.Lengths) { *l = huffman.Lengths{} },
		"a single code of two bits":     func(l *huffman.Lengths) { *l = huffman.Lengths{}; l.Literal[huffman.EndOfBlock] = 2 },
		"distance code of 255 bits":     func(l *huffman.Lengths) { l.Distance[5] = 255 },
		"single distance code, 15 bits": func(l *huffman.Lengths) { clear(l.Distance[:]); l.Distance[29] = 15 },
	} {
		var l huffman.Lengths
		l.Literal[0], l.Literal[huffman.EndOfBlock] = 1, 1
		l.Distance[0], l.Distance[1] = 1, 1
		if _, err := NewTable(&l); err != nil {
			t.Fatalf("%s: %v before the change", name, err)
		}
		change(&l)
		if table, err := NewTable(&l); !errors.Is(err, huffman.ErrLengths) || table != nil {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

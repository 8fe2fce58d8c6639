package iaa

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"sabrefs/iaa/huffman"
)

// compressedFar is a stream of the standard library, with its whole window.
func compressedFar(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	wantNoError(tb, err)
	_, err = w.Write(raw)
	wantNoError(tb, err)
	wantNoError(tb, w.Close())
	return out.Bytes()
}

// FuzzDecodeDeflate compares the engine with the standard library, byte for
// byte and error for error, and checks that nothing outside the destination and
// its slack is written. A stream that is damaged and of another length too may be
// refused for either reason: it depends on how far a decoder looks ahead.
func FuzzDecodeDeflate(f *testing.F) {
	raw := text(1, 3000)
	packed := compressed(f, raw)
	f.Add(packed, uint16(3000))
	f.Add(packed, uint16(2999))
	f.Add(packed, uint16(3001))
	f.Add(packed[:len(packed)-1], uint16(3000))
	f.Add(append(bytes.Clone(packed), 0), uint16(3000))
	f.Add(compressedFar(f, noise(1, 300)), uint16(300))
	f.Add([]byte{0x03, 0x00}, uint16(0))
	engine := Software()
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes uint16) {
		want, wantErr := standardDecode(packed, int(rawBytes))
		checkLikeStandard(t, engine, packed, int(rawBytes), nil, want, wantErr)
	})
}

// FuzzTable builds a table of any code lengths, and decodes a stream with it as
// the standard library does behind the table's prefix.
func FuzzTable(f *testing.F) {
	l := literalLengths([][]byte{text(1, 1000)}, 257)
	packed, raw := headerless(f, l, text(1, 300), 5)
	lengths := slices.Concat(l.Literal[:], l.Distance[:])
	f.Add(lengths, packed, uint16(len(raw)))
	f.Add(lengths, packed, uint16(len(raw)+1))
	f.Add(lengths, packed[:len(packed)/2], uint16(len(raw)))
	f.Add(lengths[1:], packed, uint16(len(raw)))
	engine := Software()
	f.Fuzz(func(t *testing.T, lengths, packed []byte, rawBytes uint16) {
		var l huffman.Lengths
		copy(l.Distance[:], lengths[copy(l.Literal[:], lengths):])
		table, err := NewTable(&l)
		if err != nil {
			if !errors.Is(err, huffman.ErrLengths) {
				t.Fatal(err)
			}
			return
		}
		want, wantErr := standardDecode(slices.Concat(table.Prefix(), packed), int(rawBytes))
		checkLikeStandard(t, engine, packed, int(rawBytes), table, want, wantErr)
	})
}

// checkLikeStandard decodes a stream twice in one batch, with slack and without.
func checkLikeStandard(t *testing.T, engine Engine, packed []byte, rawBytes int, table *Table, want []byte, wantErr error) {
	t.Helper()
	const guardBytes = 2 * SlackBytes
	jobs := make([]Job, 2)
	bufs := make([][]byte, len(jobs))
	for i := range jobs {
		slackBytes := i * SlackBytes
		bufs[i] = bytes.Repeat([]byte{0xa5}, rawBytes+2*guardBytes)
		dst := bufs[i][guardBytes:]
		jobs[i] = Job{Src: packed, Dst: dst[: rawBytes : rawBytes+slackBytes], Table: table}
	}
	wantNoError(t, engine.Decompress(context.Background(), jobs))
	for i, job := range jobs {
		for at, b := range bufs[i] {
			if b != 0xa5 && (at < guardBytes || at >= guardBytes+cap(job.Dst)) {
				t.Fatalf("byte %d of a destination of %d was written", at-guardBytes, rawBytes)
			}
		}
		if (job.Err == nil) != (wantErr == nil) || wantErr != nil && !errors.Is(wantErr, errClass(job.Err)) {
			t.Fatalf("error is %v, the standard library's is %v", job.Err, wantErr)
		}
		if job.Err == nil && (!bytes.Equal(job.Dst, want) || job.N != rawBytes || job.CRC32 != crc32.ChecksumIEEE(want)) {
			t.Fatalf("%d bytes differ from the standard library's", rawBytes)
		}
	}
}

func errClass(err error) error {
	for _, class := range []error{ErrLength, ErrStream} {
		if errors.Is(err, class) {
			return class
		}
	}
	return err
}

// standardDecode decodes with the standard library and returns the class of
// error that the engine must report, or two of which one.
func standardDecode(packed []byte, rawBytes int) ([]byte, error) {
	const longestBytes = 1 << 20
	in := bytes.NewReader(packed)
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(in), longestBytes))
	damaged := err != nil || len(raw) == longestBytes || in.Len() > 0
	switch {
	case len(raw) == rawBytes && !damaged:
		return raw, nil
	case !damaged:
		return nil, ErrLength
	default:
		return nil, errors.Join(ErrLength, ErrStream)
	}
}

// FuzzCompress checks that what the engine writes, the standard library reads.
func FuzzCompress(f *testing.F) {
	f.Add(text(1, 500), uint16(499))
	f.Add(noise(1, 500), uint16(499))
	f.Add([]byte{}, uint16(2))
	f.Fuzz(func(t *testing.T, raw []byte, room uint16) {
		jobs := []Job{{Src: raw, Dst: make([]byte, room)}}
		wantNoError(t, Software().Compress(context.Background(), jobs))
		if jobs[0].Err != nil {
			if !errors.Is(jobs[0].Err, ErrNoGain) {
				t.Fatal(jobs[0].Err)
			}
			return
		}
		got, err := standardDecode(jobs[0].Dst[:jobs[0].N], len(raw))
		wantNoError(t, err)
		if !bytes.Equal(got, raw) {
			t.Fatal("the standard library decodes other bytes")
		}
	})
}

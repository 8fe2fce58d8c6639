package model

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantClass(tb testing.TB, err, class error) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Fatalf("error is %v, want %v", err, class)
	}
}

func wantEqual[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func wantBytes(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("%s has %d bytes, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			tb.Fatalf("%s: byte %d of %d is %#02x, want %#02x", what, i, len(got), got[i], want[i])
		}
	}
}

// text makes bytes that compress.
func text(r *rand.Rand, lenBytes int) []byte {
	words := []string{"page ", "frame ", "struct ", "0x7fff", "guest ", "\n\t", "aaaaaaaaaaaaaaaa"}
	b := make([]byte, lenBytes)
	for n := 0; n < lenBytes; {
		n += copy(b[n:], words[r.IntN(len(words))])
		if n < lenBytes && r.IntN(4) == 0 {
			b[n] = byte(r.Uint32())
			n++
		}
	}
	return b
}

func noise(r *rand.Rand, lenBytes int) []byte {
	b := make([]byte, lenBytes)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// standardCompress is the standard library's stream.
func standardCompress(tb testing.TB, raw []byte, level int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	wantNoError(tb, err)
	_, err = w.Write(raw)
	wantNoError(tb, err)
	wantNoError(tb, w.Close())
	return out.Bytes()
}

// textStream is text and a stream of it that the device reads: few of the
// standard library's streams have code lengths that run from one list into the
// other.
func textStream(tb testing.TB, r *rand.Rand, lenBytes int) (raw, packed []byte) {
	tb.Helper()
	for range 100 {
		raw = text(r, lenBytes)
		packed = standardCompress(tb, raw, flate.DefaultCompression)
		if _, err := Decode(make([]byte, lenBytes), packed); err == nil {
			return raw, packed
		}
	}
	tb.Fatal("the device reads no stream")
	return nil, nil
}

// standardDecompress reads a stream with the standard library, up to a limit,
// and returns how many bytes are left behind its end.
func standardDecompress(packed []byte, limitBytes int) (raw []byte, left int, err error) {
	in := bytes.NewReader(packed)
	raw, err = io.ReadAll(io.LimitReader(flate.NewReader(in), int64(limitBytes)))
	return raw, in.Len(), err
}

// wantStream checks that a stream is whole and yields raw.
func wantStream(tb testing.TB, packed, raw []byte) {
	tb.Helper()
	got, left, err := standardDecompress(packed, len(raw)+1)
	wantNoError(tb, err)
	wantBytes(tb, "decompressed stream", got, raw)
	wantEqual(tb, "bytes behind the stream", left, 0)
}

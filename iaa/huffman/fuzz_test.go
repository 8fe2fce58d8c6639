package huffman

import (
	"bytes"
	"testing"
)

// FuzzHeader builds codes from any frequencies, describes them, and reads the
// description back.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{}, uint8(15))
	f.Add([]byte("some text, in which a few symbols occur"), uint8(15))
	f.Add(bytes.Repeat([]byte{7}, LiteralSymbols+DistanceSymbols), uint8(9))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 250}, 20), uint8(11))
	f.Add(append(make([]byte, 200), 1, 2, 4, 8, 16, 32, 64, 128, 255), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, maxBits uint8) {
		// A byte is an exponent above a mantissa, to have frequencies of all
		// orders.
		freqs := make([]uint32, LiteralSymbols+DistanceSymbols)
		for i, c := range data[:min(len(data), len(freqs))] {
			freqs[i] = uint32(c&15) << (c >> 4)
		}
		freqs[EndOfBlock]++
		var b Builder
		var l Lengths
		b.Build(l.Literal[:], freqs[:LiteralSymbols], int(maxBits))
		b.Build(l.Distance[:], freqs[LiteralSymbols:], int(maxBits))
		checkComplete(t, l.Literal[:], freqs[:LiteralSymbols])
		checkComplete(t, l.Distance[:], freqs[LiteralSymbols:])
		buf := make([]byte, 1024)
		var h Header
		checkHeader(t, &h, &l, buf)
		prefix, err := Prefix(&l)
		if err != nil {
			t.Fatal(err)
		}
		var w BitWriter
		w.Reset(buf)
		w.Bytes(prefix)
		literalsWith(&w, &l, nil)
		n, ok := w.Close()
		if out, err := inflate(buf[:n]); !ok || err != nil || len(out) > 0 {
			t.Fatalf("%d bytes from %d, error %v", len(out), n, err)
		}
	})
}

package huffman

import (
	"bytes"
	"testing"

	"sabrefs/tests/seedtest"
)

func TestBitWriter(t *testing.T) {
	rng := seedtest.Rand(t)
	for range 500 {
		var values []uint64
		var sizes []uint
		total := 0
		for range rng.IntN(60) {
			n := rng.UintN(maxWriteBits + 1)
			values, sizes = append(values, rng.Uint64()&(1<<n-1)), append(sizes, n)
			total += int(n)
		}
		size := (total + 7) / 8
		for _, room := range []int{size + 9, size, size - 1} {
			if room < 0 {
				continue
			}
			checkBitWriter(t, values, sizes, size, room)
		}
	}
}

func checkBitWriter(t *testing.T, values []uint64, sizes []uint, size, room int) {
	t.Helper()
	backing := bytes.Repeat([]byte{0xa5}, room+16)
	var w BitWriter
	w.Reset(backing[:room])
	for i, value := range values {
		w.Write(value, sizes[i])
	}
	n, ok := w.Close()
	if ok != (room >= size) {
		t.Fatalf("ok is %v with room for %d of %d bytes", ok, room, size)
	}
	if !bytes.Equal(backing[room:], bytes.Repeat([]byte{0xa5}, 16)) {
		t.Fatal("written beyond the buffer")
	}
	if !ok {
		return
	}
	if n != size {
		t.Fatalf("%d bytes, want %d", n, size)
	}
	r := &bitReader{buf: backing[:n]}
	for i, want := range values {
		got := uint64(r.read(int(min(sizes[i], 32))))
		if sizes[i] > 32 {
			got |= uint64(r.read(int(sizes[i]-32))) << 32
		}
		if got != want {
			t.Fatalf("value %d is %x, want %x", i, got, want)
		}
	}
	if rest := r.read(8*n - r.pos); rest != 0 {
		t.Fatalf("padding is %b", rest)
	}
}

func TestBitWriterBytes(t *testing.T) {
	var w BitWriter
	buf := make([]byte, 4)
	w.Reset(buf)
	w.Write(1, 3)
	if w.Len() != 1 {
		t.Errorf("length is %d", w.Len())
	}
	w.Align()
	w.Bytes([]byte{2, 3, 4})
	if n, ok := w.Close(); !ok || !bytes.Equal(buf[:n], []byte{1, 2, 3, 4}) {
		t.Errorf("wrote %x, ok is %v", buf[:n], ok)
	}
	w.Reset(buf)
	w.Bytes(make([]byte, 5))
	if _, ok := w.Close(); ok {
		t.Error("5 bytes fit 4")
	}
}

// A caller may write codes himself between two calls.
func TestBitWriterAdvance(t *testing.T) {
	var w BitWriter
	buf := make([]byte, 3)
	w.Reset(buf)
	w.Write(0b101, 3)
	rest, waiting, n := w.Rest()
	if len(rest) != 3 || waiting != 0b101 || n != 3 {
		t.Fatalf("%d bytes left, %d bits %b waiting", len(rest), n, waiting)
	}
	rest[0] = byte(waiting) | 0xf<<3 // with another bit, 1, in the next byte
	w.Advance(1, 0b01, 2)
	w.Write(0b11, 2)
	if n, ok := w.Close(); !ok || !bytes.Equal(buf[:n], []byte{0b1111101, 0b1101}) {
		t.Errorf("wrote %b, ok is %v", buf[:n], ok)
	}
}

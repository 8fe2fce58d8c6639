package boot

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"
)

var (
	errUnmapped = errors.New("no memory there")
	errNoFile   = fs.ErrNotExist
)

// ram is the memory of a made-up guest: all of it, or, for sizes that no test
// could have, its first part.
type ram struct{ bytes []byte }

func newRAM(sizeBytes int) *ram { return &ram{make([]byte, sizeBytes)} }

func (r *ram) Slice(gpa uint64, lenBytes int) ([]byte, error) {
	if lenBytes < 0 || gpa > uint64(len(r.bytes)) || uint64(lenBytes) > uint64(len(r.bytes))-gpa {
		return nil, errUnmapped
	}
	return r.bytes[gpa : gpa+uint64(lenBytes) : gpa+uint64(lenBytes)], nil
}

func (r *ram) SliceForWrite(gpa uint64, lenBytes int) ([]byte, error) { return r.Slice(gpa, lenBytes) }

func (r *ram) at(t *testing.T, gpa uint64, lenBytes int) []byte {
	t.Helper()
	b, err := r.Slice(gpa, lenBytes)
	if err != nil {
		t.Fatalf("%d bytes at %#x: %v", lenBytes, gpa, err)
	}
	return b
}

// wantAt checks what lies at an address.
func (r *ram) wantAt(t *testing.T, what string, gpa uint64, want []byte) {
	t.Helper()
	if got := r.at(t, gpa, len(want)); !bytes.Equal(got, want) {
		i := 0
		for got[i] == want[i] {
			i++
		}
		t.Errorf("%s: byte %d at %#x is %#x, expected %#x", what, i, gpa, got[i], want[i])
	}
}

// wantZero checks that nothing was written between two addresses.
func (r *ram) wantZero(t *testing.T, from, to uint64) {
	t.Helper()
	for i, v := range r.at(t, from, int(to-from)) {
		if v != 0 {
			t.Fatalf("%#x was written at %#x, where nothing belongs", v, from+uint64(i))
		}
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, expected %v", err, want)
	}
}

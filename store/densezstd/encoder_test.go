package densezstd

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func roundTrip(t *testing.T, e *Encoder, src []byte) []byte {
	t.Helper()
	frame, err := e.Encode(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.DecodeAll(frame, nil)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(src), err)
	}
	if !bytes.Equal(got, src) {
		t.Fatalf("%d bytes: decoded bytes differ", len(src))
	}
	return frame
}

func TestQuick(t *testing.T) {
	for level := LevelDefault; level <= LevelBest; level++ {
		e, err := NewEncoder(level, MaxBytes)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for _, bits := range []int{0, 1, 2, 4, 8} {
			for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 32, 33, 63, 64, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65791, 65792, 131071, 131072, 131073, 262143, 262144} {
				src := make([]byte, n)
				for i := range src {
					src[i] = byte(rng.UintN(1 << bits))
				}
				roundTrip(t, e, src)
				for i := range src {
					if i > 100 && i%7 == 0 && rng.UintN(10) > 0 {
						copy(src[i:min(n, i+12)], src[i-int(rng.UintN(100)):])
					}
				}
				roundTrip(t, e, src)
			}
		}
	}
}

package densezstd

import "testing"

func FuzzEncodeRoundTrip(f *testing.F) {
	f.Add([]byte("abcabcabcabc"), uint16(1))
	var encoders []*Encoder
	for level := LevelDefault; level <= LevelBest; level++ {
		e, err := NewEncoder(level, MaxBytes)
		if err != nil {
			f.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	f.Fuzz(func(t *testing.T, seed []byte, repeat uint16) {
		if len(seed) == 0 {
			return
		}
		src := expand(seed, int(repeat))
		for _, e := range encoders {
			roundTrip(t, e, src)
		}
	})
}

// expand makes much of a short input: runs and copies as its bytes say.
func expand(seed []byte, more int) []byte {
	out := append([]byte(nil), seed...)
	for i := 0; i+2 < len(seed) && len(out) < min(more*8, MaxBytes); i += 3 {
		back := 1 + int(seed[i])<<(seed[i+2]&7)%len(out)
		back = min(back, len(out))
		n := min(1+int(seed[i+1])<<(seed[i+2]>>5), MaxBytes-len(out))
		for range n {
			out = append(out, out[len(out)-back])
		}
		out = append(out, seed[i:]...)
		out = out[:min(len(out), MaxBytes)]
	}
	return out[:min(len(out), MaxBytes)]
}

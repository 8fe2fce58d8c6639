package store

import (
	"encoding/binary"
	"math/rand/v2"
)

// guestMemory makes memory of lenBytes bytes as guests have it: runs of zero
// pages, pages seen before, structured data, text, and noise.
func guestMemory(r *rand.Rand, lenBytes int) []byte {
	raw := make([]byte, lenBytes)
	for off := 0; off < lenBytes; off += PageBytes {
		page := raw[off:min(off+PageBytes, lenBytes)]
		switch kind := r.IntN(100); {
		case kind < 20:
			off += r.IntN(40) * PageBytes
		case kind < 30 && off > 0:
			copy(page, raw[r.IntN(off/PageBytes)*PageBytes:])
		default:
			fillPage(r, page, kind)
		}
	}
	return raw
}

// fillPage fills a page of memory that is not zero.
func fillPage(r *rand.Rand, page []byte, kind int) {
	switch {
	case kind < 45:
		fillNoise(r, page)
	case kind < 70:
		fillPointers(r, page)
	default:
		fillText(r, page)
	}
}

func fillNoise(r *rand.Rand, page []byte) {
	for i := range page {
		page[i] = byte(r.Uint32())
	}
}

// fillPointers imitates heap pages: words that share their upper bytes.
func fillPointers(r *rand.Rand, page []byte) {
	base := r.Uint64() &^ 0xffffff
	for i := 0; i+8 <= len(page); i += 8 {
		word := base | r.Uint64()&0xfff8
		if r.IntN(3) == 0 {
			word = uint64(r.IntN(16))
		}
		binary.LittleEndian.PutUint64(page[i:], word)
	}
}

func fillText(r *rand.Rand, page []byte) {
	words := []string{"struct ", "return ", "page ", "frame ", "if err != nil ", "\n\t", "0x7fff", "guest "}
	for n := 0; n < len(page); {
		n += copy(page[n:], words[r.IntN(len(words))])
	}
}

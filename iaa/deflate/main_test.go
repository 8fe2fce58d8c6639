package deflate

import (
	"bytes"
	"math/rand/v2"
)

// kinds are generators of inputs of a given size.
var kinds = []struct {
	name string
	make func(rng *rand.Rand, size int) []byte
}{
	{"random", randomBytes},
	{"zeros", func(_ *rand.Rand, size int) []byte { return make([]byte, size) }},
	{"one byte", func(rng *rand.Rand, size int) []byte { return bytes.Repeat([]byte{byte(rng.Uint32())}, size) }},
	{"period", func(rng *rand.Rand, size int) []byte {
		return bytes.Repeat(randomBytes(rng, 1+rng.IntN(5000)), size)[:size]
	}},
	{"two symbols", func(rng *rand.Rand, size int) []byte {
		return fill(size, func() byte { return byte(rng.IntN(2)) * 255 })
	}},
	{"skewed", func(rng *rand.Rand, size int) []byte {
		return fill(size, func() byte { return byte(rng.ExpFloat64() * 12) })
	}},
	{"text", text},
	{"runs", runs},
	{"pages", pages},
	{"copies", copies},
}

func fill(size int, next func() byte) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = next()
	}
	return data
}

func randomBytes(rng *rand.Rand, size int) []byte {
	return fill(size, func() byte { return byte(rng.Uint32()) })
}

// text is made of words of a small vocabulary.
func text(rng *rand.Rand, size int) (data []byte) {
	words := make([][]byte, 200)
	for i := range words {
		words[i] = append(fill(1+rng.IntN(9), func() byte { return 'a' + byte(rng.ExpFloat64()*4)%26 }), ' ')
	}
	for len(data) < size {
		data = append(data, words[int(rng.ExpFloat64()*40)%len(words)]...)
	}
	return data[:size]
}

// runs alternate with noise.
func runs(rng *rand.Rand, size int) (data []byte) {
	for len(data) < size {
		data = append(data, bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(700))...)
		data = append(data, randomBytes(rng, rng.IntN(30))...)
	}
	return data[:size]
}

// copies repeats parts of what is there, from all distances and of all lengths.
func copies(rng *rand.Rand, size int) []byte {
	data := randomBytes(rng, min(size, 300))
	for len(data) < size {
		distance := 1 + rng.IntN(min(len(data), 6000))
		for range 1 + rng.IntN(400) {
			data = append(data, data[len(data)-distance])
		}
		if rng.IntN(2) == 0 {
			data = append(data, byte(rng.Uint32()))
		}
	}
	return data[:size]
}

// pages is like the memory of a guest: parts of 4 KiB pages, each of a kind of
// its own.
func pages(rng *rand.Rand, size int) (data []byte) {
	base := rng.Uint64() << 12
	for len(data) < size {
		part := 64 << rng.IntN(7)
		switch rng.IntN(6) {
		case 0:
			data = append(data, make([]byte, part)...)
		case 1:
			data = append(data, text(rng, part)...)
		case 2: // pointers into the same region
			for range part / 8 {
				pointer := base + uint64(rng.IntN(1<<14))*16
				for shift := 0; shift < 64; shift += 8 {
					data = append(data, byte(pointer>>shift))
				}
			}
		case 3: // small integers
			for range part / 4 {
				data = append(data, byte(rng.ExpFloat64()*9), byte(rng.ExpFloat64()/2), 0, 0)
			}
		case 4: // instructions: few of many, with operands
			for range part / 5 {
				data = append(data, 0x48, 0x89+byte(rng.IntN(4)), byte(rng.IntN(40)), byte(rng.ExpFloat64()*30), 0xe8)
			}
		default:
			data = append(data, fill(part, func() byte { return byte(rng.NormFloat64()*20 + 128) })...)
		}
	}
	return data[:size]
}

package inflate

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	kflate "github.com/klauspost/compress/flate"

	"sabrefs/iaa/deflate"
	"sabrefs/iaa/huffman"
)

// sample is a valid stream and its raw bytes.
type sample struct {
	name        string
	packed, raw []byte
	codes       *sharedCodes // of a stream without header
}

// rawKinds are kinds of data as memory has them, and some that compressors
// treat in a special way.
var rawKinds = []struct {
	name string
	fill func(rng *rand.Rand, raw []byte)
}{
	{"zeros", func(_ *rand.Rand, raw []byte) { clear(raw) }},
	{"noise", func(rng *rand.Rand, raw []byte) {
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
	}},
	{"text", fillText},
	{"pointers", fillPointers},
	{"page", fillPage},
	{"period", func(rng *rand.Rand, raw []byte) {
		period := 1 + rng.IntN(40)
		for i := range raw {
			raw[i] = byte(i % period * 7)
			if rng.IntN(200) == 0 {
				period = 1 + rng.IntN(40)
			}
		}
	}},
	{"few symbols", func(rng *rand.Rand, raw []byte) {
		for i := range raw {
			raw[i] = "ab"[rng.IntN(2)]
		}
	}},
	{"skewed", func(rng *rand.Rand, raw []byte) {
		for i := range raw {
			raw[i] = byte(min(255, rng.ExpFloat64()*12))
		}
	}},
}

func fillText(rng *rand.Rand, raw []byte) {
	words := []string{"static ", "struct ", "page", "frame ", "return ", "int ", "{\n\t", "}\n", "0x7fff", "guest_", "memory ", "= ", "; "}
	for n := 0; n < len(raw); {
		n += copy(raw[n:], words[rng.IntN(len(words))])
	}
}

// fillPointers makes words that share their upper bytes.
func fillPointers(rng *rand.Rand, raw []byte) {
	base := 0xffff_8880_0000_0000 + rng.Uint64N(1<<36)&^0xfff
	var word [8]byte
	for n := 0; n < len(raw); {
		binary.LittleEndian.PutUint64(word[:], base+rng.Uint64N(1<<20)&^7)
		n += copy(raw[n:], word[:])
	}
}

// fillPage makes pieces of text, records, pointers, noise and zeros, as pages of
// a guest have them.
func fillPage(rng *rand.Rand, raw []byte) {
	for len(raw) > 0 {
		piece := raw[:min(len(raw), 16+rng.IntN(600))]
		raw = raw[len(piece):]
		switch rng.IntN(6) {
		case 0:
			fillText(rng, piece)
		case 1:
			fillPointers(rng, piece)
		case 2:
			for i := range piece {
				piece[i] = byte(rng.Uint32())
			}
		case 3:
			clear(piece)
		default:
			fillRecords(rng, piece)
		}
	}
}

// fillRecords makes records of 24 bytes, of which some fields differ.
func fillRecords(rng *rand.Rand, raw []byte) {
	var record [24]byte
	binary.LittleEndian.PutUint64(record[:], 0xffff_ffff_8100_0000+rng.Uint64N(1<<16))
	for n := 0; n < len(raw); {
		binary.LittleEndian.PutUint32(record[8:], rng.Uint32N(1<<12))
		record[12+rng.IntN(4)] = byte(rng.IntN(4))
		n += copy(raw[n:], record[:])
	}
}

// compressors are many ways to make a stream of bytes.
var compressors = makeCompressors()

type compressor struct {
	name     string
	compress func(raw []byte) ([]byte, error)
}

func makeCompressors() (all []compressor) {
	for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
		all = append(all, compressor{fmt.Sprintf("compress/flate %d", level), func(raw []byte) ([]byte, error) {
			var out bytes.Buffer
			w, err := flate.NewWriter(&out, level)
			if err != nil {
				return nil, err
			}
			return writeAll(&out, w, raw)
		}})
	}
	for _, level := range []int{kflate.HuffmanOnly, 1, 3, 5, 7, 9} {
		all = append(all, compressor{fmt.Sprintf("klauspost %d", level), func(raw []byte) ([]byte, error) {
			var out bytes.Buffer
			w, err := kflate.NewWriter(&out, level)
			if err != nil {
				return nil, err
			}
			return writeAll(&out, w, raw)
		}})
	}
	encoder := deflate.NewEncoder()
	for level := 1; level <= 9; level++ {
		all = append(all, compressor{fmt.Sprintf("deflate %d", level), func(raw []byte) ([]byte, error) {
			out := make([]byte, 2*len(raw)+1024)
			n, ok := encoder.Encode(out, raw, level)
			if !ok {
				return nil, io.ErrShortBuffer
			}
			return out[:n:n], nil
		}})
	}
	return all
}

// writeAll writes raw in three pieces, with a flush between the first two, which
// makes an empty stored block.
func writeAll(out *bytes.Buffer, w interface {
	io.WriteCloser
	Flush() error
}, raw []byte,
) ([]byte, error) {
	third := len(raw) / 3
	if _, err := w.Write(raw[:third]); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if _, err := w.Write(raw[third:]); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

// compressedSamples are streams of all compressors for data of all kinds.
func compressedSamples(tb testing.TB, rng *rand.Rand, sizes ...int) (samples []sample) {
	tb.Helper()
	for _, size := range sizes {
		for _, kind := range rawKinds {
			raw := make([]byte, size)
			kind.fill(rng, raw)
			for i, c := range compressors {
				if raceDetector && (i+size)%8 != 0 {
					continue
				}
				packed, err := c.compress(raw)
				wantNoError(tb, err)
				name := fmt.Sprintf("%s of %d bytes of %s", c.name, size, kind.name)
				samples = append(samples, sample{name: name, packed: packed, raw: raw})
			}
		}
	}
	return samples
}

// handmadeSamples are streams that no compressor makes, but that are valid.
func handmadeSamples(rng *rand.Rand) (samples []sample) {
	add := func(name string, write func(h *handmade)) {
		h := newHandmade(maxBench)
		write(h)
		samples = append(samples, sample{name: name, packed: h.packed(), raw: h.raw})
	}
	addStored(rng, add)
	addCodes(rng, add)
	addMatches(rng, add)
	return samples
}

// addStored adds streams with stored blocks.
func addStored(rng *rand.Rand, add func(name string, write func(h *handmade))) {
	data := make([]byte, 65535)
	fillText(rng, data)
	add("empty stored block", func(h *handmade) { h.stored(true, nil) })
	add("longest stored block", func(h *handmade) { h.stored(true, data) })
	add("stored blocks of all short lengths", func(h *handmade) {
		for n := range 80 {
			h.stored(n == 79, data[:n])
		}
	})
	for _, final := range []string{"stored", "fixed", "dynamic"} {
		add("blocks of all types, the last is "+final, func(h *handmade) {
			l := randomLengths(rng)
			for range 20 {
				h.stored(false, data[:rng.IntN(3)*rng.IntN(40)])
				c := h.fixedHeader(false)
				h.randomSymbols(rng, c, rng.IntN(60))
				h.end(c)
				c = h.dynamicHeader(false, &l)
				h.randomSymbols(rng, c, rng.IntN(60))
				h.end(c)
				if rng.IntN(2) == 0 {
					l = randomLengths(rng)
				}
			}
			switch final {
			case "stored":
				h.stored(true, nil)
			case "fixed":
				h.end(h.fixedHeader(true))
			default:
				h.end(h.dynamicHeader(true, &l))
			}
		})
	}
	add("a thousand empty fixed blocks", func(h *handmade) {
		for i := range 1000 {
			h.end(h.fixedHeader(i == 999))
		}
	})
}

// onlyCodes are codes of one bit each.
func onlyCodes(literal, distance []int) *huffman.Lengths {
	var l huffman.Lengths
	for _, symbol := range literal {
		l.Literal[symbol] = 1
	}
	for _, symbol := range distance {
		l.Distance[symbol] = 1
	}
	return &l
}

// addCodes adds streams with codes of many shapes.
func addCodes(rng *rand.Rand, add func(name string, write func(h *handmade))) {
	add("a single code, of the end", func(h *handmade) {
		h.end(h.dynamicHeader(true, onlyCodes([]int{256}, nil)))
	})
	add("literals and no distance codes", func(h *handmade) {
		c := h.dynamicHeader(true, onlyCodes([]int{'a', 256}, nil))
		h.literals(c, bytes.Repeat([]byte{'a'}, 1000)...)
		h.end(c)
	})
	add("single distance codes", func(h *handmade) {
		h.stored(false, []byte("0123456789"))
		for symbol := range 5 {
			c := h.dynamicHeader(symbol == 4, onlyCodes([]int{285, 256}, []int{symbol}))
			for range 10 {
				h.match(c, 258, distanceCodes[symbol][0])
			}
			h.end(c)
		}
	})
	add("match of 258 bytes as 227 and 31", func(h *handmade) {
		c := h.fixedHeader(true)
		h.literals(c, 'x', 'y')
		h.matchSymbols(c, 27, 258, 1, 2)
		h.matchSymbols(c, 28, 258, 0, 1)
		h.end(c)
	})
	for _, rareMatches := range []bool{false, true} {
		l := fibonacciLengths(rareMatches)
		add(fmt.Sprintf("Fibonacci's codes, matches are rare: %v", rareMatches), func(h *handmade) {
			h.stored(false, make([]byte, 40000))
			c := h.dynamicHeader(true, &l)
			h.randomSymbols(rng, c, 40000)
			h.end(c)
		})
	}
	add("codes with the largest tables", func(h *handmade) {
		h.stored(false, make([]byte, 33000))
		for i := range 3 {
			l := largestLengths(rng)
			c := h.dynamicHeader(i == 2, &l)
			h.randomSymbols(rng, c, 20000)
			h.end(c)
		}
	})
	for i := range rounds(100) {
		add(fmt.Sprintf("random codes %d", i), func(h *handmade) {
			blocks := 1 + rng.IntN(4)
			for block := range blocks {
				l := randomLengths(rng)
				c := h.dynamicHeader(block == blocks-1, &l)
				h.randomSymbols(rng, c, rng.IntN(1<<rng.IntN(13)))
				h.end(c)
			}
		})
	}
}

// addMatches adds streams with matches of all lengths and of all distances that
// are copied in different ways.
func addMatches(rng *rand.Rand, add func(name string, write func(h *handmade))) {
	for distance := 1; distance <= 40; distance++ {
		add(fmt.Sprintf("matches of all lengths, distance %d", distance), func(h *handmade) {
			c := h.fixedHeader(true)
			for i := range distance {
				h.literals(c, byte(i*37+1))
			}
			for _, n := range rng.Perm(256) {
				h.match(c, 3+n, distance)
				for range rng.IntN(distance + 3) {
					h.literals(c, byte(rng.Uint32()))
				}
			}
			h.end(c)
		})
	}
	add("matches of all distances", func(h *handmade) {
		data := make([]byte, 32768)
		fillPage(rng, data)
		h.stored(false, data)
		c := h.fixedHeader(true)
		n := 0
		for symbol, d := range distanceCodes {
			for _, distance := range []int{d[0], d[0] + 1<<d[1] - 1, d[0] + rng.IntN(1<<d[1])} {
				h.matchSymbols(c, n%8, 3+n%8, symbol, distance)
				n++
			}
		}
		h.end(c)
	})
	add("longest match at the longest distance at the very end", func(h *handmade) {
		data := make([]byte, 32768)
		fillPage(rng, data)
		h.stored(false, data)
		c := h.fixedHeader(true)
		h.match(c, 258, 32768)
		h.end(c)
	})
}

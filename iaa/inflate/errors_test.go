package inflate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// lengthItem is a code length as a header has it, or a repetition, 16 to 18, with
// its extra bits.
type lengthItem struct {
	symbol int
	extra  uint64
}

// plainPrecode has codes of 4 bits for all lengths that tests need and for the
// repetitions.
var plainPrecode = []uint8{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 4, 4, 4, 4}

// rawHeader writes the header of a dynamic block in which anything may be wrong.
func (h *handmade) rawHeader(final bool, literals, distances int, precode []uint8, items ...lengthItem) {
	h.blockType(final, 2)
	h.Write(uint64(literals-257), 5)
	h.Write(uint64(distances-1), 5)
	h.Write(uint64(len(precodeOrder)-4), 4)
	for _, symbol := range precodeOrder {
		h.Write(uint64(precode[symbol]), 3)
	}
	c, extraBits := newCode(precode), [19]uint{16: 2, 17: 3, 18: 7}
	for _, item := range items {
		h.symbol(c, item.symbol)
		h.Write(item.extra, extraBits[item.symbol])
	}
}

// lengthsOf makes items of literal and distance lengths: those given at the
// start, zeros, and those at the end.
func lengthsOf(start []int, zeros int, end ...int) (items []lengthItem) {
	for _, n := range start {
		items = append(items, lengthItem{symbol: n})
	}
	for zeros >= 11 {
		n := min(zeros, 138)
		items = append(items, lengthItem{18, uint64(n - 11)})
		zeros -= n
	}
	for range zeros {
		items = append(items, lengthItem{})
	}
	for _, n := range end {
		items = append(items, lengthItem{symbol: n})
	}
	return items
}

// badHeaders are headers that are wrong, each in one way. Nothing else follows.
var badHeaders = []struct {
	name    string
	write   func(h *handmade)
	message string
}{
	{"block type 3", func(h *handmade) { h.blockType(true, 3) }, "block type 3"},
	{"block type 3 that is not the last", func(h *handmade) { h.blockType(false, 3) }, "block type 3"},
	{"stored block with a bit wrong in its length", func(h *handmade) {
		h.blockType(true, 0)
		h.Align()
		h.Bytes([]byte{5, 0, 0xfb, 0xff, 1, 2, 3, 4, 5})
	}, "not confirmed"},
	{"287 literal codes", func(h *handmade) {
		h.rawHeader(true, 287, 1, plainPrecode, lengthsOf([]int{1}, 255, 1, 0)...)
	}, "more codes than there are symbols"},
	{"288 literal codes", func(h *handmade) {
		h.rawHeader(true, 288, 1, plainPrecode, lengthsOf([]int{1}, 255, 1, 0)...)
	}, "more codes than there are symbols"},
	{"31 distance codes", func(h *handmade) {
		h.rawHeader(true, 257, 31, plainPrecode, lengthsOf([]int{1}, 255, 1, 0)...)
	}, "more codes than there are symbols"},
	{"32 distance codes", func(h *handmade) {
		h.rawHeader(true, 257, 32, plainPrecode, lengthsOf([]int{1}, 255, 1, 0)...)
	}, "more codes than there are symbols"},
	{"too many lengths' codes", func(h *handmade) {
		h.rawHeader(true, 257, 1, []uint8{1, 1, 1, 18: 0})
	}, "code lengths' code"},
	{"too many lengths' codes, by the longest", func(h *handmade) {
		h.rawHeader(true, 257, 1, []uint8{1, 2, 3, 4, 5, 6, 7, 7, 7, 18: 0})
	}, "code lengths' code"},
	{"too few lengths' codes", func(h *handmade) {
		h.rawHeader(true, 257, 1, []uint8{1, 2, 3, 4, 5, 6, 7, 18: 0})
	}, "code lengths' code"},
	{"a single lengths' code of two bits", func(h *handmade) {
		h.rawHeader(true, 257, 1, []uint8{2, 18: 0})
	}, "code lengths' code"},
	{"no lengths' codes", func(h *handmade) {
		h.rawHeader(true, 257, 1, make([]uint8, 19))
		h.Write(0, 30)
	}, "code lengths' code that stands for nothing"},
	{"a single lengths' code, and another one used", func(h *handmade) {
		h.rawHeader(true, 257, 1, []uint8{1: 1, 18: 0}, lengthItem{symbol: 1})
		h.Write(1, 30)
	}, "code lengths' code that stands for nothing"},
	{"repetition at the start", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthItem{symbol: 16})
		h.Write(0, 30)
	}, "repeat of nothing"},
	{"one length too many, repeated", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, append(lengthsOf([]int{1}, 255, 1), lengthItem{16, 0})...)
		h.Write(0, 30)
	}, "more code lengths than announced"},
	{"one length too many, of a few zeros", func(h *handmade) {
		h.rawHeader(true, 257, 2, plainPrecode, append(lengthsOf([]int{1}, 255, 1), lengthItem{17, 0})...)
		h.Write(0, 30)
	}, "more code lengths than announced"},
	{"one length too many, of many zeros", func(h *handmade) {
		h.rawHeader(true, 257, 10, plainPrecode, append(lengthsOf([]int{1}, 255, 1), lengthItem{18, 0})...)
		h.Write(0, 30)
	}, "more code lengths than announced"},
	{"lengths that repeat far behind the last", func(h *handmade) {
		h.rawHeader(true, 286, 30, plainPrecode, append(lengthsOf([]int{1}, 255+28+29, 1), lengthItem{18, 127})...)
		h.Write(0, 30)
	}, "more code lengths than announced"},
	{"too many literal codes", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf([]int{1, 1}, 254, 1, 0)...)
		h.Write(0, 30)
	}, "literal/length code"},
	{"too many literal codes, by the longest", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 15}, 243, 15, 0)...)
		h.Write(0, 30)
	}, "literal/length code"},
	{"too few literal codes", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf([]int{1, 2, 3}, 253, 15, 0)...)
		h.Write(0, 30)
	}, "literal/length code"},
	{"a single literal code of two bits", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf(nil, 256, 2, 0)...)
		h.Write(0, 30)
	}, "literal/length code"},
	{"too many distance codes", func(h *handmade) {
		h.rawHeader(true, 257, 3, plainPrecode, lengthsOf([]int{1}, 255, 1, 1, 1, 1)...)
		h.Write(0, 30)
	}, "distance code"},
	{"too few distance codes", func(h *handmade) {
		h.rawHeader(true, 257, 3, plainPrecode, lengthsOf([]int{1}, 255, 1, 1, 2, 3)...)
		h.Write(0, 30)
	}, "distance code"},
	{"two distance codes that are not one", func(h *handmade) {
		h.rawHeader(true, 257, 2, plainPrecode, lengthsOf([]int{1}, 255, 1, 1, 2)...)
		h.Write(0, 30)
	}, "distance code"},
	{"a single distance code of 15 bits", func(h *handmade) {
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf([]int{1}, 255, 1, 15)...)
		h.Write(0, 30)
	}, "distance code"},
}

// checkRefused fails unless a stream is refused in all ways with the class, the
// words and the number of bytes.
func checkRefused(t *testing.T, b *bench, oracles []*oracle, h *handmade, n, rawBytes int, class error, message string) {
	t.Helper()
	got := checkAgreement(t, b, oracles, everySetup(), h.packed(), rawBytes, nil)
	if !classIs(got.err, class) || !strings.Contains(got.err.Error(), message) || got.n != n || !bytes.Equal(got.raw, h.raw[:n]) {
		t.Errorf("%s, want %d, %v: %s", got, n, class, message)
	}
}

// TestBadHeaders refuses each of them at the start of a stream and behind blocks
// of each type.
func TestBadHeaders(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	before := map[string]func(h *handmade){
		"first": func(*handmade) {},
		"after a stored block": func(h *handmade) {
			h.stored(false, []byte("abc"))
		},
		"after a fixed block": func(h *handmade) {
			c := h.fixedHeader(false)
			h.literals(c, 1, 2, 200)
			h.match(c, 20, 3)
			h.end(c)
		},
		"after a dynamic block": func(h *handmade) {
			l := fibonacciLengths(true)
			c := h.dynamicHeader(false, &l)
			h.randomSymbols(rng, c, 50)
			h.end(c)
		},
	}
	for where, write := range before {
		for _, bad := range badHeaders {
			t.Run(bad.name+" "+where, func(t *testing.T) {
				h := newHandmade(1 << 12)
				write(h)
				bad.write(h)
				h.Write(0, 40)
				checkRefused(t, b, oracles, h, len(h.raw), len(h.raw)+100, ErrStream, bad.message)
			})
		}
	}
}

// badSymbols are what must not follow in a block.
var badSymbols = []struct {
	name string
	// lengths are the codes; nil for the fixed ones.
	lengths func() *huffman.Lengths
	write   func(h *handmade, c codePair)
	message string
}{
	{"fixed literal code 286", nil, func(h *handmade, c codePair) { h.symbol(c.literal, 286) }, "stands for nothing"},
	{"fixed literal code 287", nil, func(h *handmade, c codePair) { h.symbol(c.literal, 287) }, "stands for nothing"},
	{"fixed distance code 30", nil, func(h *handmade, c codePair) {
		h.symbol(c.literal, 257)
		h.symbol(c.distance, 30)
	}, "stands for nothing"},
	{"fixed distance code 31", nil, func(h *handmade, c codePair) {
		h.symbol(c.literal, 285)
		h.symbol(c.distance, 31)
	}, "stands for nothing"},
	{"distance one too far", nil, func(h *handmade, c codePair) {
		h.matchSymbols(c, 0, 3, symbolOf(distanceCodes[:], len(h.raw)+1), len(h.raw)+1)
	}, "reaches before the start"},
	{"distance 32768", nil, func(h *handmade, c codePair) {
		h.matchSymbols(c, 28, 258, 29, 32768)
	}, "reaches before the start"},
	{"distance 32768 of codes of 15 bits", func() *huffman.Lengths { l := fibonacciLengths(true); return &l }, func(h *handmade, c codePair) {
		h.matchSymbols(c, 28, 258, 29, 32768)
	}, "reaches before the start"},
	{"no distance codes", func() *huffman.Lengths {
		l := fibonacciLengths(false)
		clear(l.Distance[:])
		return &l
	}, func(h *handmade, c codePair) {
		h.symbol(c.literal, 257)
		h.Write(0, 10)
	}, "stands for nothing"},
	{"the other one of a single distance code", func() *huffman.Lengths {
		l := fibonacciLengths(true)
		clear(l.Distance[:])
		l.Distance[0] = 1
		return &l
	}, func(h *handmade, c codePair) {
		h.symbol(c.literal, 257)
		h.Write(1, 10)
	}, "stands for nothing"},
}

// TestBadSymbols refuses each of them at every place in the rounds of the loops:
// after some literals of short codes and of long ones, with matches in between.
func TestBadSymbols(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, bad := range badSymbols {
		for literals := range 8 {
			for matches := range 2 {
				t.Run(fmt.Sprintf("%s after %d literals and %d matches", bad.name, literals, matches), func(t *testing.T) {
					h := newHandmade(1 << 12)
					h.stored(false, []byte("x"))
					var c codePair
					if bad.lengths == nil {
						c = h.fixedHeader(true)
					} else {
						c = h.dynamicHeader(true, bad.lengths())
					}
					for range matches {
						if c.distance.lengths[0] > 0 {
							h.match(c, 5, 1)
						}
					}
					for i := range literals {
						h.literals(c, byte(i*251))
					}
					bad.write(h, c)
					n := len(h.raw)
					h.Write(0, 57)
					checkRefused(t, b, oracles, h, n, n+1000, ErrStream, bad.message)
				})
			}
		}
	}
}

// TestSingleLiteralCode has the end of the block for its only code, and uses the
// other one.
func TestSingleLiteralCode(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	h := newHandmade(1 << 12)
	h.rawHeader(true, 257, 1, plainPrecode, lengthsOf(nil, 256, 1, 0)...)
	h.Write(1, 20)
	checkRefused(t, b, oracles, h, 0, 10, ErrStream, "stands for nothing")
}

// TestNoEnd has no code for the end of the block: it goes on until something
// else is wrong.
func TestNoEnd(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, rawBytes := range []int{0, 10, 1000} {
		h := newHandmade(1 << 12)
		h.rawHeader(true, 257, 1, plainPrecode, lengthsOf([]int{1, 1}, 255, 0)...)
		for range 10 {
			h.Write(0xff00ff, 24)
		}
		got := checkAgreement(t, b, oracles, everySetup(), h.packed(), rawBytes, nil)
		if got.err == nil {
			t.Errorf("into %d bytes: no error", rawBytes)
		}
	}
}

// samplesToCut are short streams with blocks of all types.
func samplesToCut() (samples []sample) {
	rng := seedtest.Fixed(3)
	add := func(name string, write func(h *handmade)) {
		h := newHandmade(1 << 14)
		write(h)
		samples = append(samples, sample{name: name, packed: h.packed(), raw: h.raw})
	}
	symbols := func(h *handmade, c codePair, n int) {
		h.randomSymbols(rng, c, n)
		h.end(c)
	}
	add("fixed", func(h *handmade) { symbols(h, h.fixedHeader(true), 300) })
	add("dynamic", func(h *handmade) {
		l := fibonacciLengths(false)
		symbols(h, h.dynamicHeader(true, &l), 300)
	})
	add("zeros are literals", func(h *handmade) {
		c := h.dynamicHeader(true, onlyCodes([]int{'a', 256}, nil))
		h.literals(c, bytes.Repeat([]byte{'a'}, 100)...)
		h.end(c)
	})
	add("zeros are matches", func(h *handmade) {
		l := onlyCodes(nil, []int{0})
		l.Literal['a'], l.Literal[256], l.Literal[260] = 2, 2, 1
		c := h.dynamicHeader(true, l)
		h.literals(c, 'a', 'a')
		for range 50 {
			h.match(c, 6, 1)
		}
		h.end(c)
	})
	add("stored", func(h *handmade) { h.stored(true, []byte("some bytes that are not compressed")) })
	add("all types", func(h *handmade) {
		l := fibonacciLengths(true)
		symbols(h, h.fixedHeader(false), 30)
		h.stored(false, nil)
		symbols(h, h.dynamicHeader(false, &l), 30)
		h.stored(false, []byte("abcdef"))
		symbols(h, h.dynamicHeader(false, &l), 30)
		symbols(h, h.fixedHeader(true), 30)
	})
	return samples
}

// TestEveryCut checks that no part of a stream passes for the whole, and that the
// error says so.
func TestEveryCut(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, s := range samplesToCut() {
		for cut := range s.packed {
			got := checkAgreement(t, b, oracles, everySetup(), s.packed[:cut], len(s.raw), nil)
			want := fmt.Sprintf("truncated after %d bytes", cut)
			if !classIs(got.err, ErrStream) || !strings.Contains(got.err.Error(), want) {
				t.Errorf("%s, %d of %d bytes: %s", s.name, cut, len(s.packed), got)
			}
		}
	}
}

// TestCutBeforeTheRest has the rest of the stream in the slack.
func TestCutBeforeTheRest(t *testing.T) {
	for _, assembly := range []bool{false, canByHand} {
		restore := useByHand(assembly)
		for _, s := range samplesToCut() {
			packed := slices.Concat(s.packed, make([]byte, SlackBytes))
			var d Decoder
			for cut := range s.packed {
				src := packed[:cut]
				q := queue{[]task{
					{src: src, dst: make([]byte, len(s.raw), len(s.raw)+SlackBytes)},
					{src: src, dst: make([]byte, len(s.raw), len(s.raw)+SlackBytes)},
				}}
				d.DecodeAll(len(q.tasks), &q)
				n, err := d.Decode(make([]byte, len(s.raw)), src, nil)
				want := fmt.Sprintf("truncated after %d bytes", cut)
				for _, err := range []error{err, q.tasks[0].err, q.tasks[1].err} {
					if !classIs(err, ErrStream) || !strings.Contains(err.Error(), want) {
						t.Errorf("%s, %d of %d bytes: %v", s.name, cut, len(s.packed), err)
					}
				}
				if !q.tasks[0].result().same(q.tasks[1].result()) || q.tasks[0].n != n {
					t.Errorf("%s, %d of %d bytes: %s and %s and %d", s.name, cut, len(s.packed), q.tasks[0].result(), q.tasks[1].result(), n)
				}
			}
		}
		restore()
	}
}

func TestBytesBehindTheEnd(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, s := range samplesToCut() {
		for _, behind := range []int{1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000} {
			packed := slices.Concat(s.packed, make([]byte, behind))
			got := checkAgreement(t, b, oracles, everySetup(), packed, len(s.raw), nil)
			want := fmt.Sprintf("%d bytes behind its end", behind)
			if !classIs(got.err, ErrStream) || !strings.Contains(got.err.Error(), want) || got.n != len(s.raw) {
				t.Errorf("%s, %d bytes behind it: %s", s.name, behind, got)
			}
		}
	}
}

func TestWrongLengths(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, s := range samplesToCut() {
		for rawBytes := range len(s.raw) + 100 {
			if rawBytes == len(s.raw) {
				continue
			}
			got := checkAgreement(t, b, oracles, someSetups(seedtest.Fixed(uint64(rawBytes)), 12), s.packed, rawBytes, nil)
			want := fmt.Sprintf("more than %d bytes", rawBytes)
			if rawBytes > len(s.raw) {
				want = fmt.Sprintf("%d bytes, expected %d", len(s.raw), rawBytes)
			}
			if !classIs(got.err, ErrLength) || !strings.Contains(got.err.Error(), want) || !bytes.HasPrefix(s.raw, got.raw) {
				t.Errorf("%s, %d bytes for %d: %s", s.name, rawBytes, len(s.raw), got)
			}
		}
	}
}

// TestStoredBlockTooLong refuses stored blocks that have more bytes than the
// destination has room, or than the input has.
func TestStoredBlockTooLong(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	h := newHandmade(1 << 17)
	h.stored(false, []byte("abc"))
	h.stored(true, make([]byte, 65535))
	packed, rawBytes := h.packed(), len(h.raw)
	got := checkAgreement(t, b, oracles, everySetup(), packed, rawBytes-1, nil)
	if !classIs(got.err, ErrLength) || got.n != 3 {
		t.Errorf("for one byte less: %s", got)
	}
	got = checkAgreement(t, b, oracles, everySetup(), packed[:len(packed)-1], rawBytes, nil)
	if !classIs(got.err, ErrStream) || got.n != 3 {
		t.Errorf("without its last byte: %s", got)
	}
}

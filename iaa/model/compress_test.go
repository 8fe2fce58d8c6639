//go:build linux || darwin

package model

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"math/bits"
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// inputs are raw bytes of all kinds.
func inputs(tb testing.TB) map[string][]byte {
	tb.Helper()
	r := seedtest.Rand(tb)
	return map[string][]byte{
		"one byte":     {'x'},
		"two bytes":    []byte("xx"),
		"three":        []byte("xxx"),
		"greeting":     []byte(greeting + greeting),
		"zeros":        make([]byte, 4096),
		"text":         text(r, 4096),
		"long text":    text(r, 100_000),
		"noise":        noise(r, 4096),
		"far noise":    slices.Concat(noise(r, 10), slices.Repeat(noise(r, 4096), 3)),
		"one too far":  slices.Repeat(noise(r, 4097), 3),
		"beyond range": slices.Repeat(noise(r, 4097+258), 3),
		"all bytes":    slices.Concat(noise(r, 64), []byte(greeting), noise(r, 3000)),
	}
}

// wantNearMatches checks that the device reads what it wrote.
func wantNearMatches(tb testing.TB, packed, raw []byte) {
	tb.Helper()
	dst := make([]byte, len(raw))
	r, err := Decode(dst, packed)
	wantNoError(tb, err)
	wantBytes(tb, "output", dst[:r.OutputBytes], raw)
}

func TestCompressFixed(t *testing.T) {
	m := newMachine(t, Config{})
	for name, raw := range inputs(t) {
		for _, literals := range []bool{false, true} {
			m.used = 0
			f := m.compress(raw, len(raw)*9/8+64)
			if literals {
				f.mode |= 0x10
			}
			a := m.run(f)
			wantStatus(t, a, StatusSuccess)
			packed := f.destination[:a.output]
			wantStream(t, packed, raw)
			wantNearMatches(t, packed, raw)
			wantEqual(t, name+": CRC", a.crc, crc32.ChecksumIEEE(raw))
			wantEqual(t, name+": XOR", a.xor, slowXOR(raw))
			wantEqual(t, name+": input consumed", a.consumed, uint32(len(raw)))
			if literals && fixedLiteralBits(raw) != a.lenBits() {
				t.Errorf("%s: literals take %d bytes and %d bits", name, a.output, a.bits)
			}
			if name == "zeros" && !literals && a.output > 40 {
				t.Errorf("%s: matches are not used: %d bytes", name, a.output)
			}
		}
	}
}

// fixedLiteralBits is the size of a block of literals and no match.
func fixedLiteralBits(raw []byte) int {
	n := 3 + 7
	for _, b := range raw {
		n += 8
		if b >= 144 {
			n++
		}
	}
	return n
}

func TestCompressCRC32C(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 1000)
	want := crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli))
	f := m.compress(raw, 2000)
	f.flags |= crc32c
	a := m.run(f)
	wantEqual(t, "CRC-32C of the input", a.crc, want)
	f = m.decompress(f.destination[:a.output], 1000)
	f.flags |= crc32c
	wantEqual(t, "CRC-32C of the output", m.run(f).crc, want)
}

// TestCompressTooSmall gives destinations of every size up to what is needed.
func TestCompressTooSmall(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 300)
	whole := m.run(m.compress(raw, 1000))
	wantStatus(t, whole, StatusSuccess)
	for room := 1; room <= int(whole.output); room++ {
		m.used = 0
		f := m.compress(raw, room)
		guard := m.take(256)
		a := m.run(f)
		if room == int(whole.output) {
			wantStatus(t, a, StatusSuccess)
		} else {
			wantCode(t, a, CodeOutputTooSmall)
		}
		wantBytes(t, "memory behind the destination", guard, make([]byte, 256))
	}
	noisy := m.compress(noise(seedtest.Rand(t), 4096), 4096)
	wantCode(t, m.run(noisy), CodeOutputTooSmall)
}

func TestCompressEndings(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 500)
	for _, c := range []struct {
		mode   uint16
		header byte
		after  []byte // makes the stream whole
	}{
		{0x2 | 1<<2, 0x03, nil},
		{0x2 | 1<<2, 0x02, nil},
		{0x2 | 2<<2, 0x02, []byte{0x03, 0x00}},
		{0x2 | 3<<2, 0x02, nil},
	} {
		f := m.compress(raw, 1000)
		f.mode, f.source2[32] = c.mode, c.header
		a := m.run(f)
		wantStatus(t, a, StatusSuccess)
		packed := append(slices.Clone(f.destination[:a.output]), c.after...)
		if c.header == 0x02 && c.mode == 0x6 {
			// A block that is not final goes on with the next bit.
			s := newStream()
			for i, b := range packed {
				n := uint(8)
				if i == len(packed)-1 && a.bits > 0 {
					n = uint(a.bits)
				}
				s.bits(uint64(b), n)
			}
			packed = s.block(1, blockFixed).fixedSymbol(endOfBlock).bytes()
		} else if c.mode&0x8 != 0 {
			wantEqual(t, "bits of the last byte", a.bits, 0)
		}
		wantStream(t, packed, raw)
	}
	// Without an ending there are only the symbols: 7 bits less.
	f := m.compress(raw, 1000)
	ended := m.run(f)
	f.mode = 0x2
	wantEqual(t, "bits without an ending", m.run(f).lenBits(), ended.lenBits()-7)
}

// TestCompressMissingCode compresses with tables that lack a code.
func TestCompressMissingCode(t *testing.T) {
	m := newMachine(t, Config{})
	for name, at := range map[string]int{
		"literal": 288 + 4*'x', "length": 288 + 4*285, "distance": 1440, "end of block": 288 + 4*256,
	} {
		f := m.compress(bytes.Repeat([]byte("x"), 1+258), 1000)
		clear(f.source2[at : at+4])
		a := m.run(f)
		if a.code != uint8(CodeNoCode) {
			t.Errorf("%s: %v", name, a)
		}
	}
	// Without an AECS there is no code at all.
	f := m.compress([]byte("x"), 1000)
	f.flags, f.source2 = 0, nil
	wantCode(t, m.run(f), CodeNoCode)
}

func TestCompressBadState(t *testing.T) {
	m := newMachine(t, Config{})
	le := binary.LittleEndian
	for name, spoil := range map[string]func(aecs []byte){
		"too many bits":     func(aecs []byte) { le.PutUint32(aecs[28:], 2049) },
		"reserved":          func(aecs []byte) { aecs[8] = 1 },
		"XOR":               func(aecs []byte) { aecs[6] = 1 },
		"bits of an entry":  func(aecs []byte) { aecs[288+3] = 0x08 },
		"code of an entry":  func(aecs []byte) { le.PutUint32(aecs[288:], 2<<15|4) },
		"distance's length": func(aecs []byte) { le.PutUint32(aecs[1440:], 1) },
	} {
		f := m.compress([]byte("abc"), 100)
		spoil(f.source2)
		a := m.run(f)
		if a.code != uint8(CodeState) {
			t.Errorf("%s: %v", name, a)
		}
	}
	f := m.compress([]byte("abc"), 100)
	f.source2 = f.source2[:1536]
	wantCode(t, m.run(f), CodeSource2TooSmall)
}

// statistics runs the first of two passes and returns the histogram.
func (m *machine) statistics(raw []byte, mode uint16) ([]byte, answer) {
	f := fields{opcode: 0x43, source: m.copyOf(raw), destination: m.take(1280), mode: mode}
	return f.destination, m.run(f)
}

// TestStatistics adds up what a histogram counts.
func TestStatistics(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 4096)
	le := binary.LittleEndian
	counts := func(mode uint16) (literals, matches, distances, ends uint32) {
		h, a := m.statistics(raw, mode)
		wantStatus(t, a, StatusSuccess)
		wantEqual(t, "size", a.output, 1280)
		wantEqual(t, "CRC", a.crc, crc32.ChecksumIEEE(raw))
		for i := range 256 {
			literals += le.Uint32(h[4*i:])
		}
		for i := 257; i < 286; i++ {
			matches += le.Uint32(h[4*i:])
		}
		for i := range 30 {
			distances += le.Uint32(h[1152+4*i:])
		}
		wantBytes(t, "reserved words", h[1144:1152], make([]byte, 8))
		wantBytes(t, "reserved words", h[1272:], make([]byte, 8))
		return literals, matches, distances, le.Uint32(h[4*256:])
	}
	literals, matches, distances, ends := counts(5)
	if matches == 0 || matches != distances || literals+3*matches > 4096 || ends != 1 {
		t.Errorf("%d literals, %d matches, %d distances, %d ends", literals, matches, distances, ends)
	}
	_, _, _, ends = counts(1)
	wantEqual(t, "ends without an ending", ends, 0)
	literals, matches, _, _ = counts(0x15)
	wantEqual(t, "literals alone", literals, 4096)
	wantEqual(t, "matches", matches, 0)

	f := fields{opcode: 0x43, source: m.copyOf(raw), destination: m.take(1279), mode: 5}
	wantCode(t, m.run(f), CodeOutputTooSmall)
}

// TestCompressTwoPasses compresses with codes that fit the input: software makes
// them of the histogram.
func TestCompressTwoPasses(t *testing.T) {
	m := newMachine(t, Config{})
	for name, raw := range inputs(t) {
		m.used = 0
		h, a := m.statistics(raw, 5)
		wantStatus(t, a, StatusSuccess)
		enc := &encoder{}
		enc.out.reset(nil)
		for i := range enc.counts.literals {
			enc.counts.literals[i] = binary.LittleEndian.Uint32(h[4*i:])
		}
		for i := range enc.counts.distances {
			enc.counts.distances[i] = binary.LittleEndian.Uint32(h[1152+4*i:])
		}
		enc.makeTables(headerFinal)
		f := m.compress(raw, 2*len(raw)+400)
		clear(f.source2)
		lenBits := enc.out.lenBits()
		binary.LittleEndian.PutUint32(f.source2[28:], uint32(lenBits))
		enc.out.flush()
		if copy(f.source2[32:288], enc.out.out) < len(enc.out.out) {
			t.Fatalf("%s: header of %d bits", name, lenBits)
		}
		putWords(f.source2[288:], enc.table.literal[:])
		putWords(f.source2[1440:], enc.table.distance[:])
		again := m.run(f)
		wantStatus(t, again, StatusSuccess)
		wantEqual(t, "CRC of both passes", again.crc, a.crc)
		wantStream(t, f.destination[:again.output], raw)
		wantNearMatches(t, f.destination[:again.output], raw)
	}
}

// second is a machine with a device of the second generation.
func second(tb testing.TB) *machine {
	tb.Helper()
	return newMachine(tb, Config{Devices: []DeviceConfig{{Generation: 2, Queues: make([]QueueConfig, 1)}}})
}

func TestCompressOnePass(t *testing.T) {
	m := second(t)
	for name, raw := range inputs(t) {
		m.used = 0
		f := fields{opcode: 0x43, source: m.copyOf(raw), destination: m.take(2*len(raw) + 400), mode: 0x3006}
		a := m.run(f)
		if len(raw) > 4096 {
			wantStatus(t, a, StatusInvalidInputSize)
			continue
		}
		wantStatus(t, a, StatusSuccess)
		packed := f.destination[:a.output]
		wantStream(t, packed, raw)
		wantNearMatches(t, packed, raw)
		if fixed := m.run(m.compress(raw, 2*len(raw)+400)); name == "text" && fixed.output <= a.output {
			t.Errorf("%d bytes with codes of its own, %d with the fixed ones", a.output, fixed.output)
		}
	}
}

// TestCompressTables lets the device make codes in the first of two passes.
func TestCompressTables(t *testing.T) {
	m := second(t)
	raw := text(seedtest.Rand(t), 60_000)
	pair := m.take(2 * 1568)
	f := fields{
		opcode: 0x43, flags: writeAECS, source: m.copyOf(raw), source2: pair[:1568], mode: 0x7006, more: 2,
	}
	a := m.run(f)
	wantStatus(t, a, StatusSuccess)
	wantEqual(t, "output", a.output, 0)
	wantBytes(t, "AECS that is not written", pair[:1568], make([]byte, 1568))
	binary.LittleEndian.PutUint64(pair[1568:], 0) // the second pass sums up again
	f = fields{
		opcode: 0x43, flags: readAECS | toggle, source: f.source, destination: m.take(60_000), source2: pair[:1568], mode: 6,
	}
	again := m.run(f)
	wantStatus(t, again, StatusSuccess)
	wantEqual(t, "CRC", again.crc, a.crc)
	wantStream(t, f.destination[:again.output], raw)
}

// TestCompressContinued makes one stream of several jobs, of which all but the
// last leave bits for the next one.
func TestCompressContinued(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 20_000)
	pair := m.take(2 * 1568)
	copy(pair, m.fixedTables())
	pair[32] = 0x02
	var packed []byte
	const pieceBytes = 3000
	flip := uint32(0)
	for start := 0; start < len(raw); start += pieceBytes {
		piece := raw[start:min(start+pieceBytes, len(raw))]
		f := fields{
			opcode: 0x43, flags: readAECS | writeAECS | flip, source: m.copyOf(piece), destination: m.take(8000),
			source2: pair[:1568], mode: 0x4, more: 2,
		}
		if start+pieceBytes >= len(raw) {
			f.mode = 0x2 | 3<<2
			f.flags &^= writeAECS
		}
		a := m.run(f)
		wantStatus(t, a, StatusSuccess)
		packed = append(packed, f.destination[:a.output]...)
		wantEqual(t, "CRC so far", a.crc, crc32.ChecksumIEEE(raw[:start+len(piece)]))
		wantEqual(t, "XOR so far", a.xor, slowXOR(raw[:start+len(piece)]))
		if f.mode != 0x4 {
			break
		}
		wantEqual(t, "output is in units of 32 bytes", a.output%32, 0)
		flip ^= toggle
		next := pair[:1568]
		if flip != 0 {
			next = pair[1568:]
		}
		// The next block's header goes behind the bits that were left.
		n := binary.LittleEndian.Uint32(next[28:])
		var w bitWriter
		for i := range n {
			w.put(uint64(next[32+i/8]>>(i%8)), 1)
		}
		w.put(0b010, 3)
		w.flush()
		copy(next[32:288], w.out)
		binary.LittleEndian.PutUint32(next[28:], n+3)
	}
	wantStream(t, packed, raw)
}

// TestCompressWritesNoCodes leaves the codes of an AECS alone unless asked.
func TestCompressWritesNoCodes(t *testing.T) {
	m := newMachine(t, Config{})
	f := m.compress([]byte("abcabcabc"), 100)
	pair := m.take(2 * 1568)
	copy(pair, f.source2)
	copy(pair[1568:], bytes.Repeat([]byte{0xa5}, 1568))
	f.source2, f.flags = pair[:1568], readAECS|writeAECS
	wantStatus(t, m.run(f), StatusSuccess)
	wantBytes(t, "codes", pair[1568+288:], bytes.Repeat([]byte{0xa5}, 1568-288))
	wantEqual(t, "CRC", binary.LittleEndian.Uint32(pair[1568:]), crc32.ChecksumIEEE([]byte("abcabcabc")))
}

func TestCRC64(t *testing.T) {
	m := newMachine(t, Config{})
	raw := text(seedtest.Rand(t), 5000)
	run := func(p []byte, polynomial uint64, mode uint16) uint64 {
		a := m.run(fields{opcode: 0x44, source: m.copyOf(p), mode: mode, patch: func(raw []byte) {
			binary.LittleEndian.PutUint64(raw[56:], polynomial)
		}})
		wantStatus(t, a, StatusSuccess)
		return a.crc64
	}
	for _, polynomial := range []uint64{crc64.ISO, crc64.ECMA} {
		wantEqual(t, "CRC-64", run(raw, bits.Reverse64(polynomial), 0xc000), crc64.Checksum(raw, crc64.MakeTable(polynomial)))
	}
	// Check values of the catalog of CRC algorithms for "123456789".
	const ecma = 0x42f0e1eba9ea3693
	wantEqual(t, "CRC-64/ECMA-182", run([]byte("123456789"), ecma, 0), 0x6c40df5f0b497347)
	wantEqual(t, "CRC-64/WE", run([]byte("123456789"), ecma, 0x4000), 0x62ec59e3f1a4f00a)
	wantEqual(t, "CRC-64/XZ", run([]byte("123456789"), ecma, 0xc000), 0x995dc9bbdf1939fa)
}

// TestCodeLengths checks that codes are complete, within their limit, and shorter
// for what is more frequent, with the counts that make the highest trees.
func TestCodeLengths(t *testing.T) {
	fibonacci := make([]uint32, 30)
	a, b := uint32(1), uint32(1)
	for i := range fibonacci {
		fibonacci[i] = a
		a, b = b, a+b
	}
	r := seedtest.Rand(t)
	random := make([]uint32, literalSymbols)
	for i := range random {
		random[i] = 1 << r.IntN(30)
	}
	for name, counts := range map[string][]uint32{
		"none": make([]uint32, 30), "one": {0, 0, 7, 0}, "two": {0, 1, 1 << 30}, "equal": slices.Repeat([]uint32{5}, 19),
		"fibonacci": fibonacci, "random": random,
	} {
		for _, limit := range []int{7, maxCodeBits} {
			if len(counts) > 1<<limit {
				continue
			}
			lengths := make([]uint8, len(counts))
			codeLengths(counts, limit, lengths)
			room := 0
			for i, n := range lengths {
				if int(n) > limit || n == 0 && counts[i] > 0 {
					t.Fatalf("%s: length of %d is %d", name, i, n)
				}
				if n > 0 {
					room += 1 << (limit - int(n))
				}
				for j := range lengths {
					if counts[i] > 2*counts[j]+2 && counts[j] > 0 && limit == maxCodeBits && lengths[i] > lengths[j] {
						t.Fatalf("%s: %d occurs %d times and has %d bits, %d occurs %d times and has %d",
							name, i, counts[i], lengths[i], j, counts[j], lengths[j])
					}
				}
			}
			wantEqual(t, name+": room that is taken", room, 1<<limit)
		}
	}
}

// FuzzCompress checks that the standard library and the device read what the
// device writes.
func FuzzCompress(f *testing.F) {
	shared := second(f)
	f.Add([]byte(greeting+greeting), false)
	f.Add([]byte{0}, true)
	f.Fuzz(func(t *testing.T, raw []byte, onePass bool) {
		if len(raw) == 0 || len(raw) > 4096 {
			return
		}
		m := shared.reset(t)
		job := m.compress(raw, 2*len(raw)+400)
		if onePass {
			job.flags, job.source2, job.mode = 0, nil, 0x3006
		}
		a := m.run(job)
		wantStatus(t, a, StatusSuccess)
		wantStream(t, job.destination[:a.output], raw)
		wantNearMatches(t, job.destination[:a.output], raw)
	})
}

//go:build linux || darwin

package model

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

const aecsBytes = 5376

// TestDecompressFlags checks what stop, check and the choice of the end of block
// mean.
func TestDecompressFlags(t *testing.T) {
	m := newMachine(t, Config{})
	blocks := newStream().stored(0, []byte("one")).stored(0, []byte("two")).stored(1, []byte("three")).bytes()
	open := newStream().stored(0, []byte("one")).stored(0, []byte("two")).bytes()
	twice := slices.Concat(blocks, blocks)
	for name, c := range map[string]struct {
		packed []byte
		mode   uint16
		raw    string
		code   ErrorCode
	}{
		"stop at any end":              {blocks, 0x0f, "one", 0},
		"stop at the final end":        {blocks, 0x1f, "onetwothree", 0},
		"stop without check":           {blocks, 0x17, "onetwothree", 0},
		"no stop":                      {blocks, 0x03, "onetwothree", 0},
		"check without stop":           {blocks, 0x1b, "onetwothree", 0},
		"stop at the first of two":     {twice, 0x1f, "onetwothree", 0},
		"no stop between two":          {twice, 0x1b, "onetwothreeonetwothree", 0},
		"no final end":                 {open, 0x1f, "onetwo", CodeNoEndOfBlock},
		"no final end, no check":       {open, 0x17, "onetwo", 0},
		"any end":                      {open, 0x0b, "onetwo", 0},
		"cut, no check":                {open[:len(open)-1], 0x17, "onetw", 0},
		"cut, any end":                 {open[:len(open)-1], 0x0b, "onetw", CodeNoEndOfBlock},
		"ignored bits of the end":      {append(slices.Clone(open), 0xff), 0x0b | 7<<6, "onetwo", 0},
		"without the ignored bits":     {append(slices.Clone(open), 0xff), 0x0b, "onetwo", CodeBlockType},
		"checksums alone, final block": {blocks, 0x21f, "onetwothree", 0},
	} {
		f := m.decompress(c.packed, 100)
		f.mode = c.mode
		a := m.run(f)
		if c.code != 0 {
			wantCode(t, a, c.code)
		} else {
			wantStatus(t, a, StatusSuccess)
		}
		want := append([]byte(c.raw), make([]byte, 100-len(c.raw))...)
		if c.mode&0x200 != 0 {
			clear(want)
		}
		wantBytes(t, name, f.destination, want)
		wantEqual(t, name+": output", a.output, uint32(len(c.raw)))
		wantEqual(t, name+": CRC", a.crc, crc32.ChecksumIEEE([]byte(c.raw)))
	}
}

func TestIgnoredBitsOfGeneration2(t *testing.T) {
	m := second(t)
	open := newStream().stored(0, []byte("one")).bytes()
	f := m.decompress(append(open, 0xff, 0xff), 100)
	f.mode = 0x0b | 7<<6 | 1<<14 // 15 bits, so that one is left
	a := m.run(f)
	wantStatus(t, a, StatusSuccess)
	wantEqual(t, "output", a.output, 3)
	f = m.decompress([]byte{0xff}, 100)
	f.mode = 0x0b | 7<<6 | 1<<14
	wantCode(t, m.run(f), CodeNoEndOfBlock)
}

// sample is a stream and what it yields.
type sample struct{ packed, raw []byte }

// samples are streams of all block types, of more output than a window.
func samples(tb testing.TB) map[string]sample {
	tb.Helper()
	raw := text(seedtest.Rand(tb), 30_000)
	zeros := make([]byte, 30_000)
	m := newMachine(tb, Config{})
	fixed := func(raw []byte) []byte {
		f := m.compress(raw, 60_000)
		a := m.run(f)
		wantStatus(tb, a, StatusSuccess)
		return bytes.Clone(f.destination[:a.output])
	}
	s := newStream()
	for start := 0; start < len(raw); start += 2500 {
		s.blockOfKind(start/2500%3, raw[start:min(start+2500, len(raw))])
	}
	return map[string]sample{
		"fixed":  {fixed(raw), raw},
		"zeros":  {fixed(zeros), zeros},
		"stored": {standardCompress(tb, raw, 0), raw},
		"own":    {standardCompress(tb, raw, flate.HuffmanOnly), raw},
		"mixed":  {s.stored(1, nil).bytes(), raw},
	}
}

// blockOfKind puts a block that is not final.
func (s *stream) blockOfKind(kind int, raw []byte) {
	switch kind {
	case blockStored:
		s.stored(0, raw)
	case blockFixed:
		s.block(0, blockFixed)
		for _, b := range raw {
			s.fixedSymbol(uint32(b))
		}
		s.fixedSymbol(endOfBlock)
	case blockDynamic:
		enc := &encoder{out: s.bitWriter}
		enc.counts.reset(true)
		enc.match.tokens(raw, false, &enc.counts)
		enc.makeTables(headerOpen)
		w := tokenWriter{out: &enc.out, table: &enc.table, limitBytes: 1 << 20}
		enc.match.tokens(raw, false, &w)
		w.end(endingEndOfBlock)
		s.bitWriter = enc.out
	}
}

// TestResumeAfterOverflow decodes into small destinations, one job after the
// other, each of which goes on where the one before stopped.
func TestResumeAfterOverflow(t *testing.T) {
	for name, sample := range samples(t) {
		for _, room := range []int{258, 1000, 4096, 29_999} {
			for _, always := range []bool{false, true} {
				m := newMachine(t, Config{})
				pair := m.take(2 * aecsBytes)
				source := m.copyOf(sample.packed)
				var out []byte
				flags := uint32(overflowAECS)
				if always {
					flags = writeAECS
				}
				flip := uint32(0)
				for {
					used := m.used
					f := fields{
						opcode: 0x42, flags: flags | flip, source: source, destination: m.take(room),
						source2: pair[:aecsBytes], mode: wholeStream,
					}
					if len(source) == 0 {
						f.source = nil // everything is in the AECS
					}
					a := m.run(f)
					out = append(out, f.destination[:a.output]...)
					wantEqual(t, name+": CRC so far", a.crc, crc32.ChecksumIEEE(out))
					wantEqual(t, name+": XOR so far", a.xor, slowXOR(out))
					if a.status == uint8(StatusSuccess) {
						break
					}
					wantStatus(t, a, StatusOutputOverflow)
					if int(a.output) <= room-maxMatchBytes {
						t.Fatalf("%s: %d bytes of output in %d", name, a.output, room)
					}
					source = source[a.consumed:]
					flags |= readAECS
					flip ^= toggle
					m.used = used
				}
				wantBytes(t, name, out, sample.raw)
			}
		}
	}
}

// TestOverflowInCarriedInput stops in input that came with the AECS, more than
// once, before any of the source is taken.
func TestOverflowInCarriedInput(t *testing.T) {
	m := newMachine(t, Config{})
	raw := noise(seedtest.Rand(t), 500)
	packed := newStream().stored(1, raw).bytes()
	pair := m.take(2 * aecsBytes)
	pair[1076] = 1
	const carriedBytes = 256
	copy(pair[184:], packed[:carriedBytes])
	for i := range 32 {
		pair[440+i] = 64
	}
	source := m.copyOf(packed[carriedBytes:])
	flags := uint32(readAECS | writeAECS)
	var out []byte
	for jobs := 0; ; jobs++ {
		f := fields{
			opcode: 0x42, flags: flags, source: source, destination: m.take(100), source2: pair[:aecsBytes], mode: wholeStream,
		}
		a := m.run(f)
		out = append(out, f.destination[:a.output]...)
		if a.status == uint8(StatusSuccess) {
			break
		}
		wantStatus(t, a, StatusOutputOverflow)
		if jobs < 2 {
			wantEqual(t, "input consumed", a.consumed, 0)
		}
		source = source[a.consumed:]
		flags ^= toggle
	}
	wantBytes(t, "output", out, raw)
}

// TestInputInPieces decodes a stream that comes bit by bit.
func TestInputInPieces(t *testing.T) {
	for name, sample := range samples(t) {
		for _, pieceBytes := range []int{1, 7, 100, 4096} {
			m := newMachine(t, Config{})
			pair := m.take(2 * aecsBytes)
			source := m.copyOf(sample.packed)
			if pieceBytes == 1 {
				source = source[:min(len(source), 3000)]
			}
			var out []byte
			flags := uint32(writeAECS)
			for start := 0; start < len(source); start += pieceBytes {
				used := m.used
				f := fields{
					opcode: 0x42, flags: flags, source: source[start:min(start+pieceBytes, len(source))],
					destination: m.take(64 << 10), source2: pair[:aecsBytes], mode: 0x15, // no flush, no check
				}
				a := m.run(f)
				wantStatus(t, a, StatusSuccess)
				out = append(out, f.destination[:a.output]...)
				flags |= readAECS
				flags ^= toggle
				m.used = used
			}
			if pieceBytes == 1 {
				if len(out) < 100 {
					t.Errorf("%s: %d bytes", name, len(out))
				}
				wantBytes(t, name, out, sample.raw[:len(out)])
				continue
			}
			wantBytes(t, name, out, sample.raw)
			state := pair[:aecsBytes]
			if flags&toggle != 0 {
				state = pair[aecsBytes:]
			}
			wantEqual(t, "position", binary.LittleEndian.Uint16(state[1076:]), 8)
		}
	}
}

// TestPreparedState starts a stream with history and with bits that software has
// put into the AECS.
func TestPreparedState(t *testing.T) {
	for _, generation := range []int{1, 2} {
		m := newMachine(t, Config{Devices: []DeviceConfig{{Generation: generation, Queues: make([]QueueConfig, 1)}}})
		r := seedtest.Rand(t)
		dictionary := noise(r, 4096)
		for _, n := range []int{0, 1, 100, 4095, 4096} {
			// The stream's header is in the AECS, and ends in a byte's middle.
			s := newStream().block(1, blockFixed).fixedSymbol('A')
			if n > 0 {
				s.fixedMatch(20, n+1)
			}
			headBits := s.lenBits()
			s.fixedSymbol('Z', endOfBlock)
			whole := s.bytes()
			aecs := m.take(aecsBytes)
			copy(aecs[1256:], dictionary[4096-n:])
			binary.LittleEndian.PutUint16(aecs[1252:], uint16(n))
			if n == 4096 {
				binary.LittleEndian.PutUint16(aecs[1252:], 1<<15)
			}
			aecs[1076] = 1
			// Input begins at a byte; so the AECS has what is before it.
			carriedBytes := headBits/8 + 1
			for i := range carriedBytes {
				aecs[184+8*(i/2)+i%2] = whole[i]
				aecs[440+i/2] += 8
			}
			f := fields{
				opcode: 0x42, flags: readAECS, source: m.copyOf(whole[carriedBytes:]), destination: m.take(1000),
				source2: aecs, mode: wholeStream,
			}
			a := m.run(f)
			want := []byte("A")
			if n > 0 {
				past := append(slices.Clone(dictionary[4096-n:]), 'A')
				for range 20 {
					past = append(past, past[len(past)-n-1])
				}
				want = past[n:]
			}
			if n == 4096 {
				wantCode(t, a, CodeDistanceTooFar) // 4097 back
				continue
			}
			wantStatus(t, a, StatusSuccess)
			wantBytes(t, "output", f.destination[:a.output], append(want, 'Z'))
		}
	}
}

// TestHistoryIsARing starts with history that begins in the middle.
func TestHistoryIsARing(t *testing.T) {
	m := newMachine(t, Config{})
	ring := noise(seedtest.Rand(t), 4096)
	aecs := m.take(aecsBytes)
	copy(aecs[1256:], ring)
	binary.LittleEndian.PutUint16(aecs[1252:], 1<<15|1000)
	aecs[1076] = 1
	s := newStream().block(1, blockFixed).fixedMatch(8, 4096).fixedMatch(8, 9).fixedSymbol(endOfBlock)
	f := fields{
		opcode: 0x42, flags: readAECS, source: m.copyOf(s.bytes()), destination: m.take(100), source2: aecs, mode: wholeStream,
	}
	a := m.run(f)
	wantStatus(t, a, StatusSuccess)
	want := slices.Concat(ring[1000:1008], ring[999:1000], ring[1000:1007])
	wantBytes(t, "output", f.destination[:a.output], want)
}

func TestDecompressBadState(t *testing.T) {
	m := newMachine(t, Config{})
	le := binary.LittleEndian
	for name, spoil := range map[string]func(aecs []byte){
		"XOR":                     func(aecs []byte) { aecs[7] = 1 },
		"dropped bytes":           func(aecs []byte) { aecs[20] = 1 },
		"output bits":             func(aecs []byte) { aecs[176] = 1 },
		"dropped bits":            func(aecs []byte) { aecs[476] = 1 },
		"format":                  func(aecs []byte) { aecs[477] = 2 },
		"bits of a word":          func(aecs []byte) { aecs[440] = 65 },
		"history":                 func(aecs []byte) { le.PutUint16(aecs[1252:], 4097) },
		"position":                func(aecs []byte) { aecs[1076] = 3 },
		"codes of software":       func(aecs []byte) { aecs[1076] = 0 },
		"stored data of software": func(aecs []byte) { aecs[1076] = 2 },
		"stored block of 64 KiB":  func(aecs []byte) { le.PutUint32(aecs[480:], codesMagic); le.PutUint32(aecs[1080:], 1<<16) },
		"length of a code":        func(aecs []byte) { le.PutUint32(aecs[480:], codesMagic); aecs[1076], aecs[488] = 0, 16 },
		"code is over-subscribed": func(aecs []byte) {
			le.PutUint32(aecs[480:], codesMagic)
			aecs[1076] = 0
			copy(aecs[488:], "\x01\x01\x01")
		},
	} {
		f := m.decompress([]byte{3, 0}, 100)
		f.flags, f.source2 = readAECS, m.take(aecsBytes)
		f.source2[1076] = 1
		wantStatus(t, m.run(f), StatusSuccess)
		spoil(f.source2)
		a := m.run(f)
		if a.code != uint8(CodeState) {
			t.Errorf("%s: %v", name, a)
		}
	}
	f := m.decompress([]byte{3, 0}, 100)
	f.flags, f.source2 = readAECS, m.take(1216)
	wantCode(t, m.run(f), CodeSource2TooSmall)
	f.flags, f.source2 = writeAECS, m.take(2 * 1248)[:1248]
	wantCode(t, m.run(f), CodeSource2TooSmall)
	// History may be missing.
	f.flags, f.source2 = readAECS, m.take(1248)
	f.source2[1076] = 1
	wantStatus(t, m.run(f), StatusSuccess)
	// A stream that has ended yields nothing more.
	f.source2[1076] = 8
	a := m.run(f)
	wantStatus(t, a, StatusSuccess)
	wantEqual(t, "output", a.output, 0)
}

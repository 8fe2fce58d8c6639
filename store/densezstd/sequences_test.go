package densezstd

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// modelRepeats is the decoder's side of RFC 8878, section 3.1.1.5, written
// down as it is told there.
type modelRepeats struct{ first, second, third uint32 }

func (m *modelRepeats) offset(value, litLen uint32) uint32 {
	if value > 3 {
		m.first, m.second, m.third = value-3, m.first, m.second
		return m.first
	}
	if litLen == 0 {
		value++
	}
	switch value {
	case 1:
	case 2:
		m.first, m.second = m.second, m.first
	case 3:
		m.first, m.second, m.third = m.third, m.first, m.second
	case 4:
		m.first, m.second, m.third = m.first-1, m.first, m.second
	}
	return m.first
}

func TestRepeatsFollowTheDecoder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	ours, model := firstRepeats, modelRepeats{1, 4, 8}
	seen := map[string]int{}
	for range 100000 {
		offset := []uint32{
			1 + uint32(rng.IntN(12)), ours[0], ours[1], ours[2], ours[0] + 1, max(ours[0], 2) - 1,
		}[rng.IntN(6)]
		litLen := uint32(rng.IntN(2))
		value := ours.value(offset, litLen)
		seen[fmt.Sprint(min(value, 4), litLen)]++
		ours.use(offset, value, litLen)
		if got := model.offset(value, litLen); got != offset {
			t.Fatalf("offset %d after %d literals has value %d, which means %d", offset, litLen, value, got)
		}
		if ours != (repeats{model.first, model.second, model.third}) {
			t.Fatalf("offset %d after %d literals leaves %v, expected %v", offset, litLen, ours, model)
		}
	}
	if len(seen) != 8 {
		t.Errorf("saw %v, expected each of four values with and without literals", seen)
	}
}

func TestCodes(t *testing.T) {
	check := func(kind string, v uint32, code uint8, bases []uint32, extra []uint8) {
		t.Helper()
		if v < bases[code] || v-bases[code] >= 1<<extra[code] {
			t.Fatalf("%s %d has code %d, which begins at %d and has %d extra bits", kind, v, code, bases[code], extra[code])
		}
		if v&(1<<extra[code]-1) != v-bases[code] {
			t.Fatalf("%s %d: the low bits are not the distance from %d", kind, v, bases[code])
		}
	}
	for v := range uint32(1 << 17) {
		check("literal length", min(v, 1<<17-1), litCode(v), litBases[:], litExtra[:])
		check("match length", v, matchCode(v), matchBases[:], matchExtra[:])
	}
	for value, code := range map[uint32]uint8{1: 0, 2: 1, 3: 1, 4: 2, 7: 2, 8: 3, 1<<18 + 3: 18} {
		if got := offsetCode(value); got != code {
			t.Errorf("offset value %d has code %d, expected %d", value, got, code)
		}
	}
}

// execute makes the bytes that sequences stand for. Their offsets and lengths
// are made to fit as it goes.
func execute(rng *rand.Rand, count int, next func(r repeats, have int) sequence) (src []byte, sequences []sequence) {
	r := firstRepeats
	for range count {
		s := next(r, len(src))
		for range s.litLen {
			src = append(src, byte(rng.Uint32()))
		}
		s.offset = min(max(s.offset, 1), uint32(len(src)))
		r.use(s.offset, r.value(s.offset, s.litLen), s.litLen)
		for range s.matchLen {
			src = append(src, src[len(src)-int(s.offset)])
		}
		sequences = append(sequences, s)
	}
	return src, sequences
}

// appendParsed encodes a frame of given sequences, whether or not a parser
// would choose them.
func appendParsed(tb testing.TB, src []byte, sequences []sequence) []byte {
	tb.Helper()
	e := newTestEncoder(tb, LevelDefault)
	e.parsed.sequences = sequences
	e.parsed.gatherLiterals(src)
	return e.appendBlocks(appendFrameHeader(nil, len(src)), src)
}

// TestSequenceCounts crosses the bounds of each way to write their number.
func TestSequenceCounts(t *testing.T) {
	o := newOracle(t)
	for _, count := range []int{1, 2, 126, 127, 128, 129, 0x7EFF, 0x7F00, 0x7F01, 32700} {
		rng := rand.New(rand.NewPCG(uint64(count), 3))
		src, sequences := execute(rng, count, func(repeats, int) sequence {
			return sequence{1, 3, uint32(rng.IntN(1 << 17))}
		})
		e := newTestEncoder(t, LevelDefault)
		e.parsed.sequences = sequences
		e.parsed.gatherLiterals(src)
		e.blocks.startFrame()
		frame := e.blocks.append(appendFrameHeader(nil, len(src)), src, e.parsed.literals, sequences, 0, true)
		o.check(t, frame, src)
	}
}

// TestAnySequences encodes sequences that use recent offsets in every way.
func TestAnySequences(t *testing.T) {
	o := newOracle(t)
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 4))
		litShift, matchShift := 1+rng.IntN(8), 1+rng.IntN(10)
		src, sequences := execute(rng, 1+rng.IntN(300), func(r repeats, have int) sequence {
			s := sequence{
				litLen:   uint32(rng.IntN(1 << rng.IntN(litShift))),
				matchLen: 3 + uint32(rng.IntN(1<<rng.IntN(matchShift))),
				offset:   []uint32{r[0], r[1], r[2], r[0] - 1, uint32(rng.IntN(have + 1))}[rng.IntN(5)],
			}
			if have == 0 {
				s.litLen++
			}
			return s
		})
		src = append(src, noise(seed, rng.IntN(100), 256)...)
		if len(src) > MaxBytes {
			t.Fatalf("seed %d makes %d bytes", seed, len(src))
		}
		t.Logf("seed %d: %d sequences, %d bytes", seed, len(sequences), len(src))
		o.check(t, appendParsed(t, src, sequences), src)
	}
}

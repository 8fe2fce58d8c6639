package inflate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// checkAgreement decodes a stream in several ways and with other
// implementations, and fails unless all come to the same. It returns the result.
//
// With a shared pair of codes the stream has no header; the others get one.
func checkAgreement(tb testing.TB, b *bench, oracles []*oracle, setups []setup, packed []byte, rawBytes int, codes *sharedCodes) result {
	tb.Helper()
	got := b.decodeEverywhere(tb, setups, packed, rawBytes, codes.tableOrNil())
	whole := codes.withHeader(packed)
	for _, o := range oracles {
		if o.lenient && got.err != nil {
			continue
		}
		if want := o.decode(tb, whole, rawBytes); !want.allows(got) {
			tb.Fatalf("%s, %s wants %d bytes or %v\nstream %x of %d bytes", got, o.name, len(want.raw), want.classes, clipped(packed), rawBytes)
		}
	}
	return got
}

// checkSample decodes a valid stream with the right length and with wrong ones.
func checkSample(t *testing.T, b *bench, oracles []*oracle, setups []setup, s sample) {
	t.Helper()
	got := checkAgreement(t, b, oracles, setups, s.packed, len(s.raw), s.codes)
	if got.err != nil || got.n != len(s.raw) || !bytes.Equal(got.raw, s.raw) {
		t.Fatalf("%s: %s, want %d", s.name, got, len(s.raw))
	}
	for _, n := range []int{len(s.raw) - 1, len(s.raw) + 1, len(s.raw) / 2, len(s.raw) + 1000, 0} {
		if n >= 0 && n != len(s.raw) {
			checkAgreement(t, b, oracles, setups[:min(len(setups), 4)], s.packed, n, s.codes)
		}
	}
}

func TestHandmadeStreams(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	for _, s := range handmadeSamples(rng) {
		checkSample(t, b, oracles, someSetups(rng, 2+rounds(40)), s)
	}
}

func TestCompressedStreams(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	for _, s := range compressedSamples(t, rng, 0, 1, 5, 64, 300, 4096, 16<<10) {
		checkSample(t, b, oracles, someSetups(rng, rounds(10)), s)
	}
	for _, s := range compressedSamples(t, rng, 70_000) {
		checkSample(t, b, oracles, someSetups(rng, 3), s)
	}
}

// TestEveryShortMatch ends a stream with a match of every length and short
// distance: of which the destination has room for all, or for all but a byte, or
// which reaches a byte too far.
func TestEveryShortMatch(t *testing.T) {
	rng := seedtest.Rand(t)
	b := newBench(t)
	for distance := 1; distance <= 40; distance++ {
		for length := 3; length <= 258; length++ {
			if rng.IntN(100) >= rounds(100) {
				continue
			}
			h := newHandmade(1 << 10)
			c := h.fixedHeader(true)
			for range distance {
				h.literals(c, byte(rng.Uint32()))
			}
			h.match(c, length, distance)
			h.end(c)
			packed := h.packed()
			setups := someSetups(rng, 6)
			for _, test := range []struct {
				packed   []byte
				rawBytes int
				n        int
				want     error
			}{
				{packed, len(h.raw), len(h.raw), nil},
				{packed, len(h.raw) - 1, distance, ErrLength},
				{tooFarStream(h.raw[:distance], length), len(h.raw), distance, ErrStream},
			} {
				got := b.decodeEverywhere(t, setups, test.packed, test.rawBytes, nil)
				if !classIs(got.err, test.want) || got.n != test.n || !bytes.Equal(got.raw, h.raw[:got.n]) {
					t.Fatalf("match of %d bytes, distance %d: %s, want %d, %v", length, distance, got, test.n, test.want)
				}
			}
		}
	}
}

// tooFarStream is a stream of the literals and a match that begins a byte before them.
func tooFarStream(literals []byte, length int) []byte {
	h := newHandmade(1 << 10)
	c := h.fixedHeader(true)
	h.literals(c, literals...)
	h.match(c, length, len(literals)+1)
	h.end(c)
	return h.packed()
}

// TestDamagedStreams decodes streams with flipped bits, cuts and insertions.
func TestDamagedStreams(t *testing.T) {
	rng := seedtest.Rand(t)
	b, oracles := newBench(t), newOracles()
	samples := slices.Concat(handmadeSamples(rng), compressedSamples(t, rng, 20, 300, 3000), sharedSamples(t, rng))
	refused := 0
	for range rounds(15_000) {
		s := samples[rng.IntN(len(samples))]
		if len(s.packed) > 5000 && rng.IntN(20) > 0 {
			continue // they take long
		}
		rawBytes := len(s.raw)
		if rng.IntN(4) == 0 {
			rawBytes = max(0, rawBytes+rng.IntN(9)-4)
		}
		got := checkAgreement(t, b, oracles, someSetups(rng, 4), damage(rng, s.packed), rawBytes, s.codes)
		if got.err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// damage returns a changed copy of a stream.
func damage(rng *rand.Rand, packed []byte) []byte {
	packed = bytes.Clone(packed)
	for range 1 + rng.IntN(3) {
		at := 0
		if len(packed) > 0 {
			at = rng.IntN(min(len(packed), 1<<rng.IntN(20)))
		}
		switch rng.IntN(6) {
		case 0:
			packed = packed[:at]
		case 1:
			packed = slices.Insert(packed, at, byte(rng.Uint32()))
		case 2:
			packed = slices.Delete(packed, at, min(len(packed), at+1+rng.IntN(3)))
		case 3:
			packed = append(packed, packed[at:min(len(packed), at+rng.IntN(20))]...)
		default:
			if len(packed) > 0 {
				packed[at] ^= 1 << rng.IntN(8)
			}
		}
	}
	return packed
}

// TestManyLanes decodes many streams of all kinds in one call, in random order.
func TestManyLanes(t *testing.T) {
	rng := seedtest.Rand(t)
	samples := slices.Concat(handmadeSamples(rng), compressedSamples(t, rng, 1, 1000, 9000), sharedSamples(t, rng))
	for _, assembly := range []bool{false, true} {
		t.Run(fmt.Sprintf("assembly %v", assembly), func(t *testing.T) {
			if assembly && !canByHand {
				t.Skip("this processor has no BMI2, or is no amd64")
			}
			defer useByHand(assembly)()
			var d Decoder
			for range rounds(10) {
				decodeManyTasks(t, rng, &d, samples)
			}
		})
	}
}

func decodeManyTasks(t *testing.T, rng *rand.Rand, d *Decoder, samples []sample) {
	t.Helper()
	var q queue
	for range 200 {
		s := samples[rng.IntN(len(samples))]
		slackBytes := rng.IntN(2) * SlackBytes
		q.tasks = append(q.tasks, task{
			src: append(make([]byte, 0, len(s.packed)+slackBytes), s.packed...),
			dst: make([]byte, len(s.raw), len(s.raw)+slackBytes), want: s.raw, table: s.codes.tableOrNil(),
		})
		if rng.IntN(5) == 0 {
			q.tasks = append(q.tasks, farTask(rng, rng.IntN(50)))
		}
	}
	d.DecodeAll(len(q.tasks), &q)
	for i := range q.tasks {
		q.tasks[i].check(t, setup{partner: manyPartners, lane: i})
	}
}

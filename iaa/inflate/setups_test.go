package inflate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"sabrefs/tests/seedtest"
)

// setup is one way of decoding a stream. None of it may make a difference.
type setup struct {
	assembly bool
	partner  partner
	lane     int // of the stream, the partner being in the other one
	slack    slack
	place    place
}

func (s setup) String() string {
	loop := "portable"
	if s.assembly {
		loop = "assembly"
	}
	return fmt.Sprintf("%s, %s, lane %d, %s, %s", loop, partnerNames[s.partner], s.lane, slackNames[s.slack], placeNames[s.place])
}

// partner is what is decoded at the same time.
type partner int

const (
	nobody       partner = iota
	shortPartner         // ends before most others
	badPartner           // ends with an error
	longPartner          // ends after all others
	manyPartners         // of which each ends at another moment
	partners
)

var partnerNames = [partners]string{"alone", "beside a short stream", "beside a bad stream", "beside a long stream", "beside many streams"}

// slack is what lies in and around the buffers.
type slack int

const (
	zeros slack = iota
	ones
	noise
	blocks // empty ones, with which a stream could go on
	slacks
)

var slackNames = [slacks]string{"slack of zeros", "slack of ones", "slack of noise", "slack of empty blocks"}

// place is where the buffers lie.
type place int

const (
	lastPlace  place = iota // their slack ends where memory ends
	firstPlace              // they begin where memory begins
	tightPlace              // they end where memory ends, without slack
	places
)

var placeNames = [places]string{"slack before a guard page", "buffer behind a guard page", "buffer before a guard page"}

// allSetups are all that this processor can do.
var allSetups = makeSetups()

func makeSetups() (all []setup) {
	for _, assembly := range []bool{false, true} {
		if assembly && !canByHand {
			continue
		}
		for p := range partners {
			for lane := range 2 {
				if p == nobody && lane > 0 {
					continue
				}
				for s := range slacks {
					for at := range places {
						all = append(all, setup{assembly, p, lane, s, at})
					}
				}
			}
		}
	}
	return all
}

// everySetup are all of them, or some with the race detector.
func everySetup() []setup {
	if raceDetector {
		return someSetups(seedtest.Fixed(1), 8)
	}
	return allSetups
}

// result is what decoding a stream came to.
type result struct {
	n   int
	err error
	raw []byte // the n bytes
}

// same reports whether two results are the same, down to the words of the error.
func (r result) same(other result) bool {
	return r.n == other.n && fmt.Sprint(r.err) == fmt.Sprint(other.err) && bytes.Equal(r.raw, other.raw)
}

func (r result) String() string { return fmt.Sprintf("%d bytes, %v", r.n, r.err) }

// maxBench is how long streams and their raw bytes may be in tests.
const maxBench = 640 << 10

// canaryBytes are checked around a destination and its slack.
const canaryBytes = 64

// bench has memory between guard pages and a decoder, and decodes there.
type bench struct {
	src, dst []byte
	filling  [slacks][]byte // what is in the destination before
	decoder  Decoder
	queue    queue
	partners [partners][]task
	long     task // in place of the long partner, beside long streams
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{}
	for _, mem := range []*[]byte{&b.src, &b.dst} {
		var err error
		*mem, err = mapGuarded(maxBench)
		wantNoError(tb, err)
	}
	rng := seedtest.Fixed(1)
	for s := range b.filling {
		b.filling[s] = make([]byte, maxBench)
	}
	for i := range maxBench {
		b.filling[ones][i] = 0xff
		b.filling[noise][i] = byte(rng.Uint32())
		b.filling[blocks][i] = "\x02\x08\x20\x80\x00"[i%5] // 010 0000000, four times
	}
	b.partners[shortPartner] = []task{literalTask(rng, 7)}
	b.partners[badPartner] = []task{farTask(rng, 9)}
	b.partners[longPartner] = []task{literalTask(rng, 8<<10)}
	b.long = literalTask(rng, maxBench)
	for n := range 24 {
		b.partners[manyPartners] = append(b.partners[manyPartners], literalTask(rng, n), farTask(rng, 2*n))
	}
	return b
}

// task is a stream in a queue, with what must become of it.
type task struct {
	src, dst []byte
	table    *Table
	want     []byte // the raw bytes, or those before an error of class ErrStream
	bad      bool

	n    int
	err  error
	done int // how often
}

func (t *task) result() result { return result{t.n, t.err, t.dst[:t.n]} }

// literalTask is a stream of literals, which is what takes longest.
func literalTask(rng *rand.Rand, rawBytes int) task {
	h := newHandmade(2*rawBytes + 64)
	c := h.fixedHeader(true)
	for range rawBytes {
		h.literals(c, byte(rng.Uint32()))
	}
	h.end(c)
	return newTask(h, rawBytes)
}

// farTask is a stream that goes wrong after some literals.
func farTask(rng *rand.Rand, rawBytes int) task {
	h := newHandmade(2*rawBytes + 64)
	c := h.fixedHeader(true)
	for range rawBytes {
		h.literals(c, byte(rng.Uint32()))
	}
	h.match(c, 3, rawBytes+1)
	h.end(c)
	t := newTask(h, rawBytes+100)
	t.bad = true
	return t
}

func newTask(h *handmade, rawBytes int) task {
	packed := h.packed()
	return task{
		src: append(make([]byte, 0, len(packed)+SlackBytes), packed...),
		dst: make([]byte, rawBytes, rawBytes+SlackBytes), want: h.raw,
	}
}

// check fails unless the task came to its end once, as it should have.
func (t *task) check(tb testing.TB, s setup) {
	tb.Helper()
	switch {
	case t.done != 1:
		tb.Fatalf("%s: a partner has %d results", s, t.done)
	case t.bad != errors.Is(t.err, ErrStream), !t.bad && t.err != nil, t.n != len(t.want), !bytes.Equal(t.dst[:t.n], t.want):
		tb.Fatalf("%s: a partner has %d bytes of %d, %v", s, t.n, len(t.want), t.err)
	}
}

// queue implements Tasks.
type queue struct{ tasks []task }

func (q *queue) Task(i int) (dst, src []byte, table *Table) {
	t := &q.tasks[i]
	return t.dst, t.src, t.table
}

func (q *queue) Done(i, n int, err error) {
	t := &q.tasks[i]
	t.n, t.err = n, err
	t.done++
}

// span is a buffer in a bench and what is around it.
type span struct {
	buf    []byte
	around []byte
	before []byte // what was around it
	start  int    // of the buffer
	end    int    // of its slack
}

// span places a buffer of n bytes, all filled.
func (b *bench) span(mem []byte, n int, s setup) span {
	slackBytes, start := SlackBytes, canaryBytes
	around := mem[len(mem)-min(len(mem), canaryBytes+n+SlackBytes):]
	switch s.place {
	case firstPlace:
		start = 0
		around = mem[:n+SlackBytes+canaryBytes]
	case tightPlace:
		slackBytes = 0
		around = around[SlackBytes:]
	default:
	}
	before := b.filling[s.slack][:len(around)]
	copy(around, before)
	end := start + n + slackBytes
	return span{around[start : start+n : end], around, before, start, end}
}

// intact reports whether nothing outside of the buffer and its slack is changed.
func (s *span) intact() bool {
	return bytes.Equal(s.around[:s.start], s.before[:s.start]) && bytes.Equal(s.around[s.end:], s.before[s.end:])
}

// layOut places a stream and its destination.
func (b *bench) layOut(s setup, packed []byte, rawBytes int) (dst, src span) {
	src = b.span(b.src, len(packed), s)
	copy(src.buf, packed)
	return b.span(b.dst, rawBytes, s), src
}

// decode decodes a stream in one way. The result is valid until the next call.
func (b *bench) decode(tb testing.TB, s setup, packed []byte, rawBytes int, table *Table) result {
	tb.Helper()
	dst, src := b.layOut(s, packed, rawBytes)
	n, err := b.run(tb, s, dst.buf, src.buf, table)
	switch {
	case n < 0 || n > rawBytes || err == nil && n < rawBytes:
		tb.Fatalf("%s: %d bytes of %d, error is %v", s, n, rawBytes, err)
	case !dst.intact() || !src.intact():
		tb.Fatalf("%s: written outside of the destination", s)
	case !bytes.Equal(src.buf, packed):
		tb.Fatalf("%s: the input is changed", s)
	}
	return result{n, err, dst.buf[:n]}
}

// run decodes, and fails if memory is touched that must not be.
func (b *bench) run(tb testing.TB, s setup, dst, src []byte, table *Table) (int, error) {
	tb.Helper()
	defer useByHand(s.assembly)()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			tb.Fatalf("%s: %v\n%s", s, fault, debug.Stack())
		}
	}()
	if s.partner == nobody {
		return b.decoder.Decode(dst, src, table)
	}
	b.queue.tasks = append(b.queue.tasks[:0], b.partners[s.partner]...)
	if s.partner == longPartner && len(src) > 400 { // may take as many rounds
		b.queue.tasks[0] = b.long
	}
	stream := task{dst: dst, src: src, table: table}
	if s.lane == 0 {
		b.queue.tasks = append(b.queue.tasks, b.queue.tasks[0])
		b.queue.tasks[0] = stream
	} else {
		b.queue.tasks = append(b.queue.tasks, b.queue.tasks[0])
		copy(b.queue.tasks[2:], b.queue.tasks[1:len(b.queue.tasks)-1])
		b.queue.tasks[1] = stream
	}
	b.decoder.DecodeAll(len(b.queue.tasks), &b.queue)
	for i := range b.queue.tasks {
		if i != s.lane {
			b.queue.tasks[i].check(tb, s)
		}
	}
	stream = b.queue.tasks[s.lane]
	if stream.done != 1 {
		tb.Fatalf("%s: %d results", s, stream.done)
	}
	return stream.n, stream.err
}

// decodeEverywhere decodes a stream in all of the ways, and fails if the results
// differ. It returns the first.
func (b *bench) decodeEverywhere(tb testing.TB, setups []setup, packed []byte, rawBytes int, table *Table) result {
	tb.Helper()
	first := b.decode(tb, setups[0], packed, rawBytes, table)
	first.raw = bytes.Clone(first.raw)
	for _, s := range setups[1:] {
		if got := b.decode(tb, s, packed, rawBytes, table); !got.same(first) {
			tb.Fatalf("%s: %s\n%s: %s\nstream %x of %d bytes", setups[0], first, s, got, clipped(packed), rawBytes)
		}
	}
	return first
}

// someSetups draws some ways, of which one is the portable loop on its own.
func someSetups(rng *rand.Rand, n int) []setup {
	setups := []setup{allSetups[0]}
	for len(setups) < n {
		setups = append(setups, allSetups[rng.IntN(len(allSetups))])
	}
	return setups
}

// clipped keeps messages readable.
func clipped(b []byte) []byte { return b[:min(len(b), 2000)] }

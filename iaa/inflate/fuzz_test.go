package inflate

import (
	"runtime/debug"
	"testing"
)

// FuzzDecode decodes what may be a stream in some of the ways, and compares with
// other implementations. The last argument chooses what else is going on.
func FuzzDecode(f *testing.F) {
	b, oracles := newBench(f), newOracles()
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes uint16, mode byte) {
		if len(packed) > maxBench/2 {
			t.Skip("longer than the buffers")
		}
		checkAgreement(t, b, oracles, fuzzSetups(mode), packed, int(rawBytes), nil)
	})
}

// fuzzSetups are the portable loop alone, then each loop alone and the one in
// assembly beside a partner, in an environment that the mode tells.
func fuzzSetups(mode byte) []setup {
	m := int(mode)
	s := setup{slack: slack(m % int(slacks)), place: place(m / 3 % int(places))}
	setups := []setup{{}, s}
	if canByHand {
		s.assembly = true
		setups = append(setups, s)
	}
	s.partner, s.lane = shortPartner+partner(m/9%int(partners-1)), m/36%2
	return append(setups, s)
}

// FuzzPair decodes two streams beside each other, the second one with shared
// codes if the mode says so, and compares with each of them alone.
func FuzzPair(f *testing.F) {
	one, two := newBench(f), newBench(f)
	l := fibonacciLengths(true)
	shared, ok := NewTable(&l)
	if !ok {
		f.Fatal("no table")
	}
	tables := []*Table{nil, fixedTable, shared}
	f.Fuzz(func(t *testing.T, a []byte, aBytes uint16, b []byte, bBytes uint16, mode byte) {
		if max(len(a), len(b)) > maxBench/2 {
			t.Skip("longer than the buffers")
		}
		m := int(mode)
		s := setup{assembly: canByHand, slack: slack(m % int(slacks)), place: place(m / 3 % int(places))}
		table := tables[m/9%len(tables)]
		wantA := one.decodeEverywhere(t, []setup{{}}, a, int(aBytes), nil)
		wantB := two.decodeEverywhere(t, []setup{{}}, b, int(bBytes), table)
		gotA, gotB := decodePair(t, s, one, two, a, int(aBytes), b, int(bBytes), table)
		if !gotA.same(wantA) || !gotB.same(wantB) {
			t.Fatalf("%s: first %s, alone %s; second %s, alone %s", s, gotA, wantA, gotB, wantB)
		}
	})
}

// decodePair decodes a stream in each of two benches at the same time.
func decodePair(tb testing.TB, s setup, one, two *bench, a []byte, aBytes int, b []byte, bBytes int, table *Table) (gotA, gotB result) {
	tb.Helper()
	defer useByHand(s.assembly)()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			tb.Fatalf("%s: %v\n%s", s, fault, debug.Stack())
		}
	}()
	aDst, aSrc := one.layOut(s, a, aBytes)
	bDst, bSrc := two.layOut(s, b, bBytes)
	one.queue.tasks = append(one.queue.tasks[:0],
		task{dst: aDst.buf, src: aSrc.buf}, task{dst: bDst.buf, src: bSrc.buf, table: table})
	one.decoder.DecodeAll(len(one.queue.tasks), &one.queue)
	for _, placed := range []span{aDst, aSrc, bDst, bSrc} {
		if !placed.intact() {
			tb.Fatalf("%s: written outside of a destination", s)
		}
	}
	for i := range one.queue.tasks {
		if done := one.queue.tasks[i].done; done != 1 {
			tb.Fatalf("%s: stream %d has %d results", s, i, done)
		}
	}
	return one.queue.tasks[0].result(), one.queue.tasks[1].result()
}

package prefetch

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"sabrefs/store"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt from what the code writes")

var (
	fixedUUID = uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	fixedTime = time.Unix(1700000000, 123456789).UTC()
)

func fixedDigest() (d store.Digest) {
	for i := range d {
		d[i] = byte(0xa0 + i)
	}
	return d
}

// smallTrace is two runs of a memory of 5 pages, of which the last is partial.
func smallTrace() *Trace {
	return &Trace{
		Image:    store.Identity{UUID: fixedUUID, Digest: fixedDigest()},
		RawBytes: 4*store.PageBytes + 100, CreatedAt: fixedTime, Runs: 2,
		Touches: []Touch{{Page: 3, AtMicros: 0, Runs: 2}, {Page: 4, AtMicros: 70, Runs: 1}, {Page: 0, AtMicros: 70, Runs: 2}},
	}
}

// randomTrace is one of some runs of a memory of pageCount pages.
func randomTrace(r *rand.Rand, pageCount int) *Trace {
	t := &Trace{
		Image:    store.Identity{UUID: fixedUUID, Digest: fixedDigest()},
		RawBytes: int64(pageCount) * store.PageBytes, CreatedAt: fixedTime.Add(time.Duration(r.IntN(1000))),
		Runs: uint32(1 + r.IntN(3)), Touches: []Touch{},
	}
	var at uint32
	for _, page := range r.Perm(pageCount)[:r.IntN(pageCount+1)] {
		at += uint32(r.IntN(3)) // the same time often
		t.Touches = append(t.Touches, Touch{uint32(page), at, 1 + uint32(r.IntN(int(t.Runs)))})
	}
	return t
}

func encoded(tb testing.TB, t *Trace) []byte {
	tb.Helper()
	b, err := t.Encode()
	wantNoError(tb, err)
	return b
}

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantClass(tb testing.TB, err, class error) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Fatalf("error is %v, want %v", err, class)
	}
}

// wantTraceError fails unless the error is an ErrTrace with an offset.
func wantTraceError(tb testing.TB, err error) TraceError {
	tb.Helper()
	wantClass(tb, err, ErrTrace)
	found, ok := errors.AsType[*TraceError](err)
	if !ok {
		tb.Fatalf("error is %v, and does not say where", err)
	}
	return *found
}

func wantEqual[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func wantBytes(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if !bytes.Equal(got, want) {
		tb.Fatalf("%s is\n%x, want\n%x", what, got, want)
	}
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	wantNoError(tb, err)
	return b
}

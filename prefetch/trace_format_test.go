package prefetch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

func TestRoundTrip(t *testing.T) {
	r := seedtest.Rand(t)
	traces := []*Trace{
		smallTrace(),
		{Runs: 1, Touches: []Touch{}}, // of an empty memory, at an unknown time
		{RawBytes: store.MaxRawBytes, Runs: math.MaxUint32, CreatedAt: fixedTime, Touches: []Touch{
			{Page: uint32(pagesOf(store.MaxRawBytes) - 1), AtMicros: math.MaxUint32, Runs: math.MaxUint32},
		}},
	}
	for range 200 {
		traces = append(traces, randomTrace(r, 1+r.IntN(300)))
	}
	for _, trace := range traces {
		b := encoded(t, trace)
		got, err := Decode(b)
		wantNoError(t, err)
		if !reflect.DeepEqual(got, trace) {
			t.Fatalf("decoded %+v, want %+v", got, trace)
		}
		wantBytes(t, "encoded again", encoded(t, got), b)
	}
}

// unsound are traces that no recording can yield, with where the file would be
// wrong.
var unsound = map[string]struct {
	spoil    func(t *Trace)
	traceOff int64
}{
	"negative size":       {func(t *Trace) { t.RawBytes = -1 }, hdrRawBytes},
	"too large":           {func(t *Trace) { t.RawBytes = store.MaxRawBytes + 1 }, hdrRawBytes},
	"no run":              {func(t *Trace) { t.Runs = 0 }, hdrRuns},
	"more than all pages": {func(t *Trace) { t.RawBytes = 2 * store.PageBytes }, hdrTouches},
	"page behind the end": {func(t *Trace) { t.Touches[1].Page = 5 }, touchOff(1)},
	"page far behind":     {func(t *Trace) { t.Touches[2].Page = math.MaxUint32 }, touchOff(2)},
	"page twice":          {func(t *Trace) { t.Touches[2].Page = 3 }, touchOff(2)},
	"back in time":        {func(t *Trace) { t.Touches[2].AtMicros = 69 }, touchOff(2) + touchAt},
	"seen in no run":      {func(t *Trace) { t.Touches[0].Runs = 0 }, touchOff(0) + touchRuns},
	"seen in too many":    {func(t *Trace) { t.Touches[1].Runs = 3 }, touchOff(1) + touchRuns},
	"one behind the last": {func(t *Trace) { t.RawBytes = 4 * store.PageBytes }, touchOff(1)},
}

// TestUnsound: what may not be written may not be read either.
func TestUnsound(t *testing.T) {
	for name, c := range unsound {
		t.Run(name, func(t *testing.T) {
			trace := smallTrace()
			c.spoil(trace)
			_, err := trace.Encode()
			wantEqual(t, "offset", wantTraceError(t, err).TraceOff, c.traceOff)
			_, err = Decode(encodeUnchecked(trace))
			wantEqual(t, "offset", wantTraceError(t, err).TraceOff, c.traceOff)
		})
	}
}

// encodeUnchecked is Encode without its check.
func encodeUnchecked(t *Trace) []byte {
	b := make([]byte, traceBytes(int64(len(t.Touches))))
	t.putHeader(b)
	for i, touch := range t.Touches {
		entry := b[touchOff(i):]
		binary.LittleEndian.PutUint32(entry[touchPage:], touch.Page)
		binary.LittleEndian.PutUint32(entry[touchAt:], touch.AtMicros)
		binary.LittleEndian.PutUint32(entry[touchRuns:], touch.Runs)
	}
	seal(b)
	return b
}

// seal makes both checksums right.
func seal(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[hdrCRC:], crc32.ChecksumIEEE(b[:hdrCRC]))
	le.PutUint32(b[len(b)-crcBytes:], crc32.ChecksumIEEE(b[headerBytes:len(b)-crcBytes]))
}

func TestTimeBeyondTheFormat(t *testing.T) {
	trace := smallTrace()
	trace.CreatedAt = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := trace.Encode()
	wantEqual(t, "offset", wantTraceError(t, err).TraceOff, hdrCreated)
}

// TestEveryByteFlipped: no flipped byte goes unnoticed.
func TestEveryByteFlipped(t *testing.T) {
	good := encoded(t, smallTrace())
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			_, err := Decode(b)
			found := wantTraceError(t, err)
			if found.TraceOff < 0 || found.TraceOff >= int64(len(b)) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func TestEveryLength(t *testing.T) {
	good := encoded(t, smallTrace())
	for n := range good {
		_, err := Decode(good[:n])
		found := wantTraceError(t, err)
		if n >= len(magic) && (found.TraceOff != int64(n) || !strings.Contains(err.Error(), "truncated")) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	_, err := Decode(append(bytes.Clone(good), 0))
	wantEqual(t, "offset", wantTraceError(t, err).TraceOff, int64(len(good)))
}

// TestForeignHeader has intact checksums, and values of another format.
func TestForeignHeader(t *testing.T) {
	tests := map[string]struct {
		at    int
		value uint32
		class error
	}{
		"version 0":   {hdrVersion, 0, ErrTraceVersion},
		"version 2":   {hdrVersion, 2, ErrTraceVersion},
		"header size": {hdrBytes, headerBytes + 4, ErrTrace},
		"page size":   {hdrPageBytes, 2 << 20, ErrTrace},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := encoded(t, smallTrace())
			binary.LittleEndian.PutUint32(b[c.at:], c.value)
			seal(b)
			_, err := Decode(b)
			wantClass(t, err, c.class)
			wantEqual(t, "offset", wantTraceError(t, err).TraceOff, int64(c.at))
		})
	}
	// a newer version is told as such even if its checksum is elsewhere
	b := encoded(t, smallTrace())
	b[hdrVersion]++
	_, err := Decode(b)
	wantClass(t, err, ErrTraceVersion)
}

// TestReservedBytesAreIgnored leaves room for fields that old readers need not
// know.
func TestReservedBytesAreIgnored(t *testing.T) {
	b := encoded(t, smallTrace())
	for _, at := range []int{hdrTouches + 4, hdrCreated + 8, hdrCRC - 1} {
		b[at] = 0xff
	}
	seal(b)
	got, err := Decode(b)
	wantNoError(t, err)
	if !reflect.DeepEqual(got, smallTrace()) {
		t.Fatalf("decoded %+v", got)
	}
}

// TestHugeClaims: a small file that says it is large makes nobody allocate for
// what it says.
func TestHugeClaims(t *testing.T) {
	for _, touches := range []uint32{4, 1 << 20, MaxTouches, MaxTouches + 1, 1 << 30, math.MaxUint32} {
		trace := smallTrace()
		trace.RawBytes = store.MaxRawBytes
		b := encoded(t, trace)
		binary.LittleEndian.PutUint32(b[hdrTouches:], touches)
		seal(b)
		before := allocatedBytes()
		_, err := Decode(b)
		if grown := allocatedBytes() - before; grown > 64<<10 {
			t.Errorf("%d touches claimed: %d bytes allocated", touches, grown)
		}
		wantTraceError(t, err)
	}
}

// TestScatteredPages: pages that have nothing in common cost no more than a few
// times the file.
func TestScatteredPages(t *testing.T) {
	trace := smallTrace()
	trace.RawBytes, trace.Touches = store.MaxRawBytes, nil
	const touches, apart = 1 << 14, 1 << 16 // all of the memory, evenly
	for i := range uint32(touches) {
		trace.Touches = append(trace.Touches, Touch{Page: i * apart, Runs: 1})
	}
	b := encoded(t, trace)
	before := allocatedBytes()
	_, err := Decode(b)
	grown := allocatedBytes() - before
	wantNoError(t, err)
	if grown > 16*uint64(len(b)) {
		t.Errorf("%d bytes allocated for a trace of %d", grown, len(b))
	}
}

func allocatedBytes() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// FuzzDecode: what is decoded is sound and encodes to a trace that says the
// same; anything else is an ErrTrace.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 0))
	for _, trace := range []*Trace{smallTrace(), {Runs: 1}, randomTrace(r, 40)} {
		f.Add(encoded(f, trace), false)
		f.Add(encoded(f, trace), true)
	}
	for _, c := range unsound {
		trace := smallTrace()
		c.spoil(trace)
		f.Add(encodeUnchecked(trace), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		// a fuzzer does not guess checksums, but what is behind them counts
		if sealed && len(b) >= headerBytes+crcBytes {
			b = bytes.Clone(b)
			seal(b)
		}
		trace, err := Decode(b)
		fromFile, fileErr := readTrace(bytes.NewReader(b), int64(len(b)))
		if !reflect.DeepEqual(trace, fromFile) || fmt.Sprint(err) != fmt.Sprint(fileErr) {
			t.Fatalf("Decode: %+v, %v; ReadFile: %+v, %v", trace, err, fromFile, fileErr)
		}
		if err != nil {
			wantTraceError(t, err)
			return
		}
		again, err := Decode(encoded(t, trace))
		wantNoError(t, err)
		if !reflect.DeepEqual(again, trace) {
			t.Fatalf("%+v became %+v", trace, again)
		}
		wantSound(t, trace)
	})
}

// wantSound checks the promises of a trace without the code that makes them.
func wantSound(tb testing.TB, trace *Trace) {
	tb.Helper()
	seen := map[uint32]bool{}
	var last uint32
	for _, touch := range trace.Touches {
		if int64(touch.Page)*store.PageBytes >= trace.RawBytes || seen[touch.Page] ||
			touch.AtMicros < last || touch.Runs < 1 || touch.Runs > trace.Runs {
			tb.Fatalf("touch %+v of a memory of %d bytes in %d runs", touch, trace.RawBytes, trace.Runs)
		}
		seen[touch.Page], last = true, touch.AtMicros
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDataPages(t *testing.T) {
	content := make([]byte, 300*pageBytes+100)
	for _, page := range []int{0, 7, 255, 256, 299} { // 256 pages are read at once
		content[(page+1)*pageBytes-1] = 1
	}
	content[300*pageBytes] = 1 // of a page that is not whole
	pages, err := dataPages(writeMemory(t, content))
	noError(t, err)
	if want := []uint32{0, 7, 255, 256, 299}; !slices.Equal(pages, want) {
		t.Errorf("pages with data are %v, want %v", pages, want)
	}
	if _, err := dataPages(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file has pages")
	}
}

func TestPickPages(t *testing.T) {
	path := writeMemory(t, memory(400))
	all, err := dataPages(path)
	noError(t, err)
	pick := func(count int, seed uint64) []uint32 {
		pages, err := pickPages(path, count, seed)
		noError(t, err)
		return pages
	}
	some := pick(50, 1)
	if len(some) != 50 || !slices.Equal(some, pick(50, 1)) {
		t.Errorf("a seed gives %v and then %v", some, pick(50, 1))
	}
	if slices.Equal(some, pick(50, 2)) {
		t.Error("two seeds give the same pages")
	}
	if slices.IsSorted(some) {
		t.Error("the pages are in order")
	}
	every := pick(1000, 1)
	slices.Sort(every)
	if !slices.Equal(every, all) {
		t.Errorf("asked for more pages than there are: got %d, want each of %d once", len(every), len(all))
	}
	zeros := writeMemory(t, make([]byte, 10*pageBytes))
	if _, err := pickPages(zeros, 1, 1); err == nil || !strings.Contains(err.Error(), zeros) {
		t.Errorf("pages of a file of zeros: %v", err)
	}
}

func TestPageNumbers(t *testing.T) {
	for _, pages := range [][]uint32{{}, {0}, {1, 1 << 31, 3}} {
		got, err := readPageNumbers(bytes.NewReader(encodePageNumbers(pages)))
		if err != nil || !slices.Equal(got, pages) {
			t.Errorf("%v became %v, %v", pages, got, err)
		}
	}
	if got, err := readPageNumbers(strings.NewReader("12345")); err == nil {
		t.Errorf("five bytes are the pages %v", got)
	}
}

func TestSummarize(t *testing.T) {
	latencies := make([]time.Duration, 200) // 200 us down to 1 us
	for i := range latencies {
		latencies[i] = time.Duration(200-i) * time.Microsecond
	}
	got := summarize(latencies, 2*time.Second)
	if want := (touchReport{Pages: 200, MeanUS: 100.5, P50US: 101, P95US: 191, P99US: 199, MaxUS: 200, Seconds: 2, Bytes: 200 * pageBytes}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := summarize(nil, time.Second); got != (touchReport{Seconds: 1}) {
		t.Errorf("nothing is summarized as %+v", got)
	}
	one := summarize([]time.Duration{1500 * time.Nanosecond}, time.Second)
	if one.MeanUS != 1.5 || one.P50US != 1.5 || one.P95US != 1.5 || one.P99US != 1.5 || one.MaxUS != 1.5 {
		t.Errorf("one latency is summarized as %+v", one)
	}
}

// TestTouchFaults touches pages of a plain file; the checksum is computed here
// in another way.
func TestTouchFaults(t *testing.T) {
	content := memory(100)
	path := writeMemory(t, content)
	order := []uint32{99, 0, 50, 3, 7}
	var touched []byte
	for _, page := range order {
		touched = append(touched, content[page*pageBytes:][:pageBytes]...)
	}
	report, err := runTouch(t.Context(), bytes.NewReader(encodePageNumbers(order)), "faults", path)
	noError(t, err)
	if report.Pages != len(order) || report.Bytes != int64(len(touched)) || report.CRC32 != crc32.ChecksumIEEE(touched) {
		t.Errorf("got %+v, want the CRC-32 %d of %d bytes", report, crc32.ChecksumIEEE(touched), len(touched))
	}
	_, err = touchPages(path, bytes.NewReader(encodePageNumbers([]uint32{1, 100})), 0)
	if err == nil || !strings.Contains(err.Error(), "100") {
		t.Errorf("touching a page after the end: %v", err)
	}
	if _, err := touch(nil, []string{"faults", path, "gently"}); err == nil {
		t.Error("advice that is no number is taken")
	}
}

func TestTouchSequential(t *testing.T) {
	const size = 3<<20 + 5
	path := writeMemory(t, make([]byte, size))
	report, err := runTouch(t.Context(), nil, "sequential", path)
	if err != nil || report.Bytes != size || report.Seconds <= 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	report, err = runTouch(t.Context(), nil, readDirect, path, "2000000")
	if err != nil || report.Bytes != 2<<20 {
		t.Errorf("two million bytes with O_DIRECT: %+v, %v", report, err)
	}
	if report, err := touch(nil, []string{"backwards", path}); err == nil {
		t.Errorf("reading backwards: %+v", report)
	}
	if _, err := touch(nil, []string{"sequential", path + "x"}); !os.IsNotExist(err) {
		t.Errorf("reading a missing file: %v", err)
	}
	var fields map[string]any
	noError(t, json.Unmarshal([]byte(bench(t, "touch", "sequential", path).stdout), &fields))
	if fields["bytes"] != float64(size) {
		t.Errorf("the report is %v", fields)
	}
}

package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

func TestPagesWithData(t *testing.T) {
	content := make([]byte, 600*pageBytes+100)
	for _, page := range []int{1, 5, 256, 599} { // 256 pages are read at once
		content[page*pageBytes] = byte(page)
	}
	content[300*pageBytes] = 5    // as page 5
	content[301*pageBytes-1] = 1  // and then not
	content[400*pageBytes] = 5    // as page 5
	content[600*pageBytes] = 9    // of a page that is not whole
	content[256*pageBytes+1] = 77 // byte(256) is zero
	for distinct, want := range map[bool][]int64{true: {1, 5, 256, 300, 599}, false: {1, 5, 256, 300, 400, 599}} {
		pages, err := pagesWithData(bytes.NewReader(content), distinct)
		noError(t, err)
		if !slices.Equal(pages, want) {
			t.Errorf("pages with data, distinct %v, are %v, want %v", distinct, pages, want)
		}
	}
}

func TestSpreadRuns(t *testing.T) {
	pages := make([]int64, 1000)
	for i := range pages {
		pages[i] = int64(3 * i)
	}
	for _, test := range []struct{ count, runs int }{{1000, 1}, {2000, 1}, {1, 1}, {64, 1}, {65, 2}, {128, 2}, {640, 10}, {999, 1}} {
		chosen := spreadRuns(pages, test.count)
		if len(chosen) > min(test.count, len(pages)) || len(chosen) < min(test.count, len(pages))*9/10 {
			t.Errorf("asked for %d pages, got %d", test.count, len(chosen))
		}
		runs, last := 1, chosen[0]
		for _, page := range chosen[1:] {
			if page <= last {
				t.Fatalf("of %d pages: %d after %d", test.count, page, last)
			}
			if page != last+3 {
				runs++
			}
			last = page
		}
		if test.count < 900 && runs != test.runs {
			t.Errorf("%d pages come in %d runs, want %d", test.count, runs, test.runs)
		}
	}
	if ten := spreadRuns(pages, 640); ten[0] != 0 || ten[len(ten)-1] < 3*850 {
		t.Errorf("640 of 1000 pages are from %d to %d", ten[0], ten[len(ten)-1])
	}
}

func TestSamplePages(t *testing.T) {
	content := memory(400)
	path := writeMemory(t, content)
	all, err := samplePages(path, 1000, true)
	noError(t, err)
	var want []byte
	for page := range 400 {
		if page%4 != 3 {
			want = append(want, content[page*pageBytes:][:pageBytes]...)
		}
	}
	if !bytes.Equal(all, want) {
		t.Errorf("all pages are %d bytes, want the %d that are not zero", len(all), len(want))
	}
	few, err := samplePages(path, 10, true)
	noError(t, err)
	if !bytes.Equal(few, want[:10*pageBytes]) {
		t.Errorf("ten pages are %d bytes", len(few))
	}
	if _, err := samplePages(filepath.Join(t.TempDir(), "missing"), 1, true); err == nil {
		t.Error("a missing file has a sample")
	}
}

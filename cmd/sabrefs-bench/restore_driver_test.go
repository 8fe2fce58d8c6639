package main

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// restoreFiles makes a memory, and of some of its pages in random order what the
// driver needs.
func restoreFiles(t *testing.T, pageCount int) (memPath, setPath, pagesPath string, pages []uint32) {
	t.Helper()
	const seed = 7
	t.Logf("seed %d", seed)
	memPath = writeMemory(t, memory(pageCount))
	for page := range uint32(pageCount) {
		if page%7 != 3 { // runs of six pages, the first one of three
			pages = append(pages, page)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	dir := filepath.Dir(memPath)
	setPath, pagesPath = filepath.Join(dir, "set"), filepath.Join(dir, "pages")
	noError(t, writeWorkingSet(memPath, setPath, pagesPath, pages))
	return memPath, setPath, pagesPath, pages
}

func buildDriver(t *testing.T) restoreDriver {
	t.Helper()
	if reason := os.Getenv(skipEnv); reason != "" {
		t.Skipf("%s: %s", skipEnv, reason)
	}
	driver, err := buildRestoreDriver(t.Context(), t.TempDir())
	noError(t, err)
	return driver
}

// TestRestoreDriver: every way to get memory gives the bytes of the file, also where
// the set is more than one part of the reader that runs ahead.
func TestRestoreDriver(t *testing.T) {
	driver := buildDriver(t)
	const pageCount = 2000
	memPath, setPath, pagesPath, pages := restoreFiles(t, pageCount)
	want, err := pagesCRC(memPath, pages)
	noError(t, err)
	for mode, path := range map[string]string{restoreReap: setPath, restoreReapAhead: setPath, restoreMap: memPath} {
		times, err := driver.run(t.Context(), restoreJob{mode: mode, path: path, memoryBytes: pageCount * pageBytes, pagesPath: pagesPath})
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if times.CRC32 != want || times.total() <= 0 {
			t.Errorf("%s: %+v, want the CRC-32 %d", mode, times, want)
		}
	}
	// and the comparison can fail
	content, err := os.ReadFile(setPath)
	noError(t, err)
	content[len(content)/2] ^= 1
	noError(t, os.WriteFile(setPath, content, 0o600))
	times, err := driver.run(t.Context(), restoreJob{mode: restoreReap, path: setPath, memoryBytes: pageCount * pageBytes, pagesPath: pagesPath})
	if err != nil || times.CRC32 == want {
		t.Errorf("a set with another bit: %+v, %v, want another CRC-32 than %d", times, err, want)
	}
}

func TestRestoreDriverRefuses(t *testing.T) {
	driver := buildDriver(t)
	const pageCount = 50
	memPath, setPath, pagesPath, _ := restoreFiles(t, pageCount)
	pageFile := func(pages ...uint32) string {
		path := filepath.Join(t.TempDir(), "pages")
		noError(t, os.WriteFile(path, encodePageNumbers(pages), 0o600))
		return path
	}
	for name, test := range map[string]struct {
		job  restoreJob
		word string
	}{
		"page after the end": {restoreJob{restoreMap, memPath, pageCount * pageBytes, pageFile(1, pageCount)}, "after the end"},
		"page twice":         {restoreJob{restoreReap, setPath, pageCount * pageBytes, pageFile(1, 2, 1)}, "twice"},
		"short set":          {restoreJob{restoreReap, setPath, 2 * pageCount * pageBytes, pageFile(seq(2 * pageCount)...)}, "reading the set"},
		"short memory":       {restoreJob{restoreMap, memPath, 2 * pageCount * pageBytes, pagesPath}, "too short"},
		"no set":             {restoreJob{restoreReapAhead, setPath + "x", pageCount * pageBytes, pagesPath}, "setx"},
	} {
		_, err := driver.run(t.Context(), test.job)
		if err == nil || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: %v, want %q", name, err, test.word)
		}
	}
}

func seq(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = uint32(i)
	}
	return list
}

// TestWriteWorkingSet: the set is in ascending order, the numbers are not.
func TestWriteWorkingSet(t *testing.T) {
	content := memory(20)
	memPath := writeMemory(t, content)
	dir := t.TempDir()
	noError(t, writeWorkingSet(memPath, filepath.Join(dir, "set"), filepath.Join(dir, "pages"), []uint32{9, 2, 17}))
	set, err := os.ReadFile(filepath.Join(dir, "set"))
	noError(t, err)
	want := string(content[2*pageBytes:3*pageBytes]) + string(content[9*pageBytes:10*pageBytes]) + string(content[17*pageBytes:18*pageBytes])
	if string(set) != want {
		t.Error("the set has other bytes than pages 2, 9 and 17")
	}
	numbers, err := os.ReadFile(filepath.Join(dir, "pages"))
	if err != nil || len(numbers) != 12 || binary.LittleEndian.Uint32(numbers) != 9 {
		t.Errorf("numbers %v, %v", numbers, err)
	}
	if err := writeWorkingSet(memPath, filepath.Join(dir, "set"), filepath.Join(dir, "pages"), []uint32{20}); err == nil {
		t.Error("a page after the end was written")
	}
}

func TestParseRestoreTimes(t *testing.T) {
	got, err := parseRestoreTimes("1000 20 3 4294967295")
	if want := (restoreTimes{time.Microsecond, 20, 3, 1<<32 - 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got.total() != 1023 {
		t.Errorf("total %v", got.total())
	}
	for _, line := range []string{"", "1 2 3", "a b c d"} {
		if got, err := parseRestoreTimes(line); err == nil {
			t.Errorf("%q became %+v", line, got)
		}
	}
}

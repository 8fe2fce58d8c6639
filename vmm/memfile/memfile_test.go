package memfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/seedtest"
	"sabrefs/vmm/memory"
)

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got error %v, want %v", err, class)
	}
}

func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	mustNot(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Fatalf("got files %q, want %q", got, names)
	}
}

func wantContents(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	mustNot(t, err)
	if len(got) != len(want) {
		t.Fatalf("%s has %d bytes, want %d", path, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s differs at offset %d", path, i)
		}
	}
}

// guestMemory is a memory of whole pages, some of which are zeros.
func guestMemory(r *rand.Rand, pageCount int) []byte {
	raw := make([]byte, pageCount*pageBytes)
	for page := range pageCount {
		if r.IntN(3) > 0 {
			raw[page*pageBytes+r.IntN(pageBytes)] = byte(1 + r.IntN(255))
		}
	}
	return raw
}

// asRegions cuts raw as a hole would.
func asRegions(raw []byte, cutPage int) []memory.Region {
	cut := cutPage * pageBytes
	return []memory.Region{{Bytes: raw[:cut]}, {GuestPhysical: 4 << 30, FileOff: int64(cut), Bytes: raw[cut:]}}
}

func usedBytes(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	mustNot(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

func TestFullFileIsSparse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mem_file")
	const pageCount = 3*runBytes/pageBytes + 5
	raw := make([]byte, pageCount*pageBytes)
	for _, page := range []int{0, 1, 300, 511, 512, pageCount - 1} {
		raw[page*pageBytes+page] = 1
	}
	report, err := Write(t.Context(), path, asRegions(raw, 512), Selection{})
	mustNot(t, err)
	wantContents(t, path, raw)
	if report.SizeBytes != int64(len(raw)) || report.DataBytes != 6*pageBytes {
		t.Errorf("got report %+v", report)
	}
	if used := usedBytes(t, path); used > 64<<10 {
		t.Errorf("six pages take %d bytes of the disk", used)
	}
	wantNames(t, dir, "mem_file")
}

// TestMergedDiffIsTheMemory changes pages of a memory at random, and rebuilds
// it from a full file and the diff.
func TestMergedDiffIsTheMemory(t *testing.T) {
	r := seedtest.Rand(t)
	for round := range 6 {
		dir := t.TempDir()
		base, diff, out := filepath.Join(dir, "base"), filepath.Join(dir, "diff"), filepath.Join(dir, "out")
		pageCount := 8 + r.IntN(700)
		raw := guestMemory(r, pageCount)
		cut := 1 + r.IntN(pageCount-1)
		_, err := Write(t.Context(), base, asRegions(raw, cut), Selection{})
		mustNot(t, err)
		dirty := make([]uint64, (pageCount+63)/64)
		for range r.IntN(pageCount) {
			page := r.IntN(pageCount)
			dirty[page/64] |= 1 << (page % 64)
			clear(raw[page*pageBytes : (page+1)*pageBytes])
			raw[page*pageBytes+r.IntN(pageBytes)] = byte(r.IntN(3))
		}
		report, err := Write(t.Context(), diff, asRegions(raw, cut), Selection{Pages: dirty, KeepZeros: true})
		mustNot(t, err)
		if report.DataBytes != memory.CountPages(dirty)*pageBytes {
			t.Fatalf("round %d: %d bytes of data for %d pages", round, report.DataBytes, memory.CountPages(dirty))
		}
		if len(report.Witnesses) > MaxWitnesses {
			t.Fatalf("round %d: %d witnesses", round, len(report.Witnesses))
		}
		mustNot(t, Merge(t.Context(), base, diff, out))
		wantContents(t, out, raw)
		mustNot(t, Merge(t.Context(), base, diff, base))
		wantContents(t, base, raw)
		mustNot(t, checkWitnessesOf(t, out, report.Witnesses))
		wantNames(t, dir, "base", "diff", "out")
	}
}

func checkWitnessesOf(t *testing.T, path string, witnesses []Witness) error {
	t.Helper()
	f, err := os.Open(path)
	mustNot(t, err)
	defer f.Close()
	return CheckWitnesses(f, witnesses)
}

func TestWitnesses(t *testing.T) {
	dir := t.TempDir()
	base, diff := filepath.Join(dir, "base"), filepath.Join(dir, "diff")
	raw := bytes.Repeat([]byte{7}, 64*pageBytes)
	_, err := Write(t.Context(), base, asRegions(raw, 32), Selection{})
	mustNot(t, err)
	dirty := []uint64{1<<20 | 1<<21}
	clear(raw[20*pageBytes : 21*pageBytes]) // written, and zero now
	raw[21*pageBytes] = 8
	report, err := Write(t.Context(), diff, asRegions(raw, 32), Selection{Pages: dirty, KeepZeros: true})
	mustNot(t, err)
	if len(report.Witnesses) != 5 {
		t.Fatalf("got witnesses %v, want a page that the diff lacks of each quarter, and page 20", report.Witnesses)
	}
	wantError(t, checkWitnessesOf(t, diff, report.Witnesses), ErrIncomplete)
	wantError(t, checkWitnessesOf(t, base, report.Witnesses), ErrIncomplete)
	// A copy that turned zeros to holes lost that page 20 was written.
	f, err := os.OpenFile(diff, os.O_RDWR, 0)
	mustNot(t, err)
	mustNot(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 20*pageBytes, pageBytes))
	mustNot(t, f.Close())
	mustNot(t, Merge(t.Context(), base, diff, base))
	wantError(t, checkWitnessesOf(t, base, report.Witnesses), ErrIncomplete)
	_, err = Write(t.Context(), base, asRegions(raw[:pageBytes*32], 16), Selection{})
	mustNot(t, err)
	if err := checkWitnessesOf(t, base, []Witness{{Page: 40}}); err == nil {
		t.Fatal("a witness behind the end of the file was satisfied")
	}
}

// TestPagesThatNobodyTouched writes a large memory of which little was used.
func TestPagesThatNobodyTouched(t *testing.T) {
	const sizeBytes = 4 << 30
	m, err := memory.New(sizeBytes, memory.Options{TrackWrites: true})
	mustNot(t, err)
	defer m.Close()
	put := func(gpa uint64, text string) {
		b, err := m.SliceForWrite(gpa, len(text))
		mustNot(t, err)
		copy(b, text)
	}
	put(12345, "near the beginning")
	put(memory.HoleEnd+54321, "behind the hole")
	o := m.Occupied()
	defer o.Close()
	path := filepath.Join(t.TempDir(), "mem_file")
	report, err := Write(t.Context(), path, m.Regions(), Selection{Occupied: o})
	mustNot(t, err)
	if report.DataBytes != 2*pageBytes || report.SizeBytes != sizeBytes {
		t.Errorf("got report %+v", report)
	}
	f, err := os.Open(path)
	mustNot(t, err)
	defer f.Close()
	text := make([]byte, len("behind the hole"))
	_, err = f.ReadAt(text, memory.HoleStart+54321)
	mustNot(t, err)
	if string(text) != "behind the hole" {
		t.Errorf("got %q", text)
	}
	// Of a diff, a page that it lacks is found as a witness.
	m.ForgetWritten()
	put(123450, "later")
	o2 := m.Occupied()
	defer o2.Close()
	report, err = Write(t.Context(), path, m.Regions(), Selection{Pages: m.Written(), KeepZeros: true, Occupied: o2})
	mustNot(t, err)
	pages := []int64{12345 / pageBytes, (memory.HoleStart + 54321) / pageBytes}
	if len(report.Witnesses) != 2 || report.Witnesses[0].Page != pages[0] || report.Witnesses[1].Page != pages[1] {
		t.Errorf("got witnesses %v, want of pages %d", report.Witnesses, pages)
	}
}

func TestDiffSinceBootNeedsNoZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "diff")
	raw := make([]byte, 64*pageBytes)
	raw[5*pageBytes], raw[6*pageBytes] = 1, 1
	report, err := Write(t.Context(), path, asRegions(raw, 32), Selection{Pages: []uint64{1<<5 | 1<<9}})
	mustNot(t, err)
	if report.DataBytes != pageBytes || report.Witnesses != nil {
		t.Errorf("got report %+v", report)
	}
	raw[6*pageBytes] = 0 // was not selected
	wantContents(t, path, raw)
}

func TestHolesAreCompared(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	mustNot(t, err)
	defer f.Close()
	const sizeBytes = 256 * pageBytes
	mustNot(t, f.Truncate(sizeBytes))
	_, err = f.WriteAt(make([]byte, 2*pageBytes), 70*pageBytes)
	mustNot(t, err)
	mustNot(t, checkHoles(t.Context(), f, sizeBytes, []uint64{0, 3 << 6, 0, 0}))
	wantError(t, checkHoles(t.Context(), f, sizeBytes, []uint64{0, 1 << 6, 0, 0}), ErrHoles)
	wantError(t, checkHoles(t.Context(), f, sizeBytes, []uint64{0, 7 << 6, 0, 0}), ErrHoles)
	wantError(t, checkHoles(t.Context(), f, sizeBytes, nil), ErrHoles)
}

func TestFilesThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, lenBytes int) string {
		p := filepath.Join(dir, name)
		mustNot(t, os.WriteFile(p, make([]byte, lenBytes), 0o600))
		return p
	}
	one, two, odd := path("1", pageBytes), path("2", 2*pageBytes), path("odd", pageBytes+1)
	out := filepath.Join(dir, "out")
	wantError(t, Merge(t.Context(), one, two, out), ErrSize)
	wantError(t, Merge(t.Context(), odd, odd, out), ErrSize)
	wantError(t, Merge(t.Context(), dir, dir, out), ErrSize)
	wantError(t, Merge(t.Context(), one, filepath.Join(dir, "none"), out), fs.ErrNotExist)
	wantError(t, Merge(t.Context(), one, one, dir), ErrTarget)
	wantError(t, Merge(t.Context(), one, one, filepath.Join(dir, "no", "out")), fs.ErrNotExist)
	wantNames(t, dir, "1", "2", "odd")
}

// TestFullDisk lets the disk overflow in each of the writers: the old file
// stands, and nothing else takes room.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 256<<10)
	path := filepath.Join(dir, "mem_file")
	old := bytes.Repeat([]byte{1}, 8*pageBytes)
	mustNot(t, os.WriteFile(path, old, 0o600))
	big := bytes.Repeat([]byte{2}, 512<<10)
	bigFile := filepath.Join(t.TempDir(), "big")
	mustNot(t, os.WriteFile(bigFile, big, 0o600))
	_, err := Write(t.Context(), path, asRegions(big, 3), Selection{})
	wantError(t, err, unix.ENOSPC)
	wantError(t, Merge(t.Context(), bigFile, bigFile, path), unix.ENOSPC)
	_, err = StageBytes(path, big)
	wantError(t, err, unix.ENOSPC)
	wantNames(t, dir, "mem_file")
	wantContents(t, path, old)
}

func smallDisk(t *testing.T, lenBytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	mustNot(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", lenBytes)))
	t.Cleanup(func() { mustNot(t, unix.Unmount(dir, 0)) })
	return dir
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	path := filepath.Join(dir, "mem_file")
	raw := bytes.Repeat([]byte{1}, 4*pageBytes)
	_, err := Write(ctx, path, asRegions(raw, 1), Selection{})
	wantError(t, err, context.Canceled)
	mustNot(t, os.WriteFile(path, raw, 0o600))
	wantError(t, Merge(ctx, path, path, path), context.Canceled)
	wantNames(t, dir, "mem_file")
	wantContents(t, path, raw)
}

func TestMemoryThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(t.TempDir(), "source")
	mustNot(t, os.WriteFile(source, make([]byte, 4*pageBytes), 0o600))
	f, err := os.Open(source)
	mustNot(t, err)
	defer f.Close()
	m, err := memory.Map(f, 4*pageBytes, memory.Options{})
	mustNot(t, err)
	defer m.Close()
	mustNot(t, os.Truncate(source, pageBytes))
	_, err = Write(t.Context(), filepath.Join(dir, "mem_file"), m.Regions(), Selection{})
	wantError(t, err, memory.ErrFault)
	wantNames(t, dir)
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	s, err := StageBytes(path, []byte("one"))
	mustNot(t, err)
	mustNot(t, s.Discard())
	wantNames(t, dir)
	s, err = StageBytes(path, []byte("two"))
	mustNot(t, err)
	mustNot(t, s.Commit())
	wantContents(t, path, []byte("two"))
	wantNames(t, dir, "file")
	s, err = StageBytes(path, []byte("three"))
	mustNot(t, err)
	mustNot(t, os.Remove(path))
	mustNot(t, os.Mkdir(path, 0o700))
	if err := s.Commit(); err == nil {
		t.Fatal("a file replaced a directory")
	}
	wantNames(t, dir, "file")
}

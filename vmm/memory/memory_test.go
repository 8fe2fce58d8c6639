package memory

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const gib = 1 << 30

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

func newTestMemory(t *testing.T, sizeBytes int64, opt Options) *Memory {
	t.Helper()
	m, err := New(sizeBytes, opt)
	mustNot(t, err)
	t.Cleanup(func() { mustNot(t, m.Close()) })
	return m
}

func memoryFile(t *testing.T, contents []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mem_file")
	mustNot(t, os.WriteFile(path, contents, 0o600))
	f, err := os.Open(path)
	mustNot(t, err)
	t.Cleanup(func() { mustNot(t, f.Close()) })
	return f
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		name      string
		gpa       uint64
		lenBytes  int
		sizeBytes int64
		fileOff   int64
		ok        bool
	}{
		{"first byte", 0, 1, PageBytes, 0, true},
		{"all", 0, PageBytes, PageBytes, 0, true},
		{"one too many", 0, PageBytes + 1, PageBytes, 0, false},
		{"nothing at the end", PageBytes, 0, PageBytes, PageBytes, true},
		{"nothing behind the end", PageBytes + 1, 0, PageBytes, 0, false},
		{"negative", 0, -1, PageBytes, 0, false},
		{"up to the hole", HoleStart - 8, 8, 4 * gib, HoleStart - 8, true},
		{"into the hole", HoleStart - 8, 9, 4 * gib, 0, false},
		{"in the hole", HoleStart, 1, 4 * gib, 0, false},
		{"up to the end of the hole", HoleEnd - 1, 1, 4 * gib, 0, false},
		{"behind the hole", HoleEnd, 1, 4 * gib, HoleStart, true},
		{"last byte", 5*gib - 1, 1, 4 * gib, 4*gib - 1, true},
		{"behind the last byte", 5*gib - 1, 2, 4 * gib, 0, false},
		{"nothing behind the hole", HoleEnd, 1, HoleStart, 0, false},
		{"wraps", ^uint64(0), 2, 4 * gib, 0, false},
	} {
		fileOff, ok := fileOffOf(c.gpa, c.lenBytes, c.sizeBytes)
		if ok != c.ok || ok && fileOff != c.fileOff {
			t.Errorf("%s: got %#x %v, want %#x %v", c.name, fileOff, ok, c.fileOff, c.ok)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, sizeBytes := range []int64{-1, 0, 1, PageBytes - 1, PageBytes + 1, MaxBytes + PageBytes} {
		_, err := New(sizeBytes, Options{})
		wantError(t, err, ErrSize)
	}
}

func TestRegionsBothSidesOfTheHole(t *testing.T) {
	m := newTestMemory(t, 4*gib, Options{})
	regions := m.Regions()
	if len(regions) != 2 || regions[1].GuestPhysical != HoleEnd || regions[1].FileOff != HoleStart {
		t.Fatalf("got regions at %#x and %#x", regions[0].GuestPhysical, regions[1].GuestPhysical)
	}
	b, err := m.SliceForWrite(HoleEnd, 5)
	mustNot(t, err)
	copy(b, "hello")
	if got := string(regions[1].Bytes[:5]); got != "hello" {
		t.Fatalf("got %q", got)
	}
	if n := len(newTestMemory(t, 64<<20, Options{HugePages: true}).Regions()); n != 1 {
		t.Fatalf("got %d regions in a small memory", n)
	}
}

func TestWrittenPages(t *testing.T) {
	m := newTestMemory(t, 256*PageBytes, Options{TrackWrites: true})
	_, err := m.Slice(0, 256*PageBytes)
	mustNot(t, err)
	_, err = m.SliceForWrite(0, 0)
	mustNot(t, err)
	if n := CountPages(m.Written()); n != 0 {
		t.Fatalf("%d pages are marked, although none was written", n)
	}
	_, err = m.SliceForWrite(2*PageBytes-1, 2)
	mustNot(t, err)
	_, err = m.SliceForWrite(200*PageBytes, 1)
	mustNot(t, err)
	m.MarkWritten(0, []uint64{0, 1, 0, 0, 1}) // the last word is beyond the end
	want := []uint64{1<<1 | 1<<2, 1, 0, 1 << (200 % 64)}
	for i, got := range m.Written() {
		if got != want[i] {
			t.Errorf("word %d: got %#x, want %#x", i, got, want[i])
		}
	}
	m.ForgetWritten()
	if n := CountPages(m.Written()); n != 0 {
		t.Fatalf("%d pages are still marked", n)
	}
	if newTestMemory(t, PageBytes, Options{}).Written() != nil {
		t.Fatal("a memory that does not track writes says what was written")
	}
}

func TestMappedFileIsNotChanged(t *testing.T) {
	contents := bytes.Repeat([]byte("sabre..."), 4*PageBytes/8)
	f := memoryFile(t, contents)
	one, err := Map(f, int64(len(contents)), Options{})
	mustNot(t, err)
	other, err := Map(f, int64(len(contents)), Options{HugePages: true})
	mustNot(t, err)
	b, err := one.SliceForWrite(0, 4)
	mustNot(t, err)
	copy(b, "SABR")
	b, err = other.Slice(0, len(contents))
	mustNot(t, err)
	if !bytes.Equal(b, contents) {
		t.Error("a write of one memory is seen in the other")
	}
	mustNot(t, errors.Join(one.Close(), other.Close(), one.Close()))
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, contents) {
		t.Errorf("the file was changed (%v)", err)
	}
	_, err = one.Slice(0, 1)
	wantError(t, err, ErrClosed)
}

func TestFileOfAnotherSize(t *testing.T) {
	f := memoryFile(t, make([]byte, 3*PageBytes))
	for _, sizeBytes := range []int64{2 * PageBytes, 4 * PageBytes} {
		_, err := Map(f, sizeBytes, Options{})
		wantError(t, err, ErrSize)
	}
	dir, err := os.Open(t.TempDir())
	mustNot(t, err)
	defer dir.Close()
	_, err = Map(dir, PageBytes, Options{})
	wantError(t, err, ErrSize)
}

func TestFileThatShrankIsAnError(t *testing.T) {
	f := memoryFile(t, make([]byte, 2*PageBytes))
	m, err := Map(f, 2*PageBytes, Options{})
	mustNot(t, err)
	defer m.Close()
	mustNot(t, os.Truncate(f.Name(), PageBytes))
	var sum int
	err = Guard(func() error {
		b, err := m.Slice(0, 2*PageBytes)
		for _, c := range b {
			sum += int(c)
		}
		return err
	})
	wantError(t, err, ErrFault)
	own := errors.New("own")
	wantError(t, Guard(func() error { return own }), own)
}

func TestGuardPassesOurOwnPanicsOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "a bug" {
			t.Fatalf("recovered %v", r)
		}
	}()
	_ = Guard(func() error { panic("a bug") })
}

// TestNothingStaysMapped compares the size of this process's address space.
func TestNothingStaysMapped(t *testing.T) {
	const sizeBytes = 64 << 30
	before := addressSpaceBytes(t)
	for range 4 {
		m, err := New(sizeBytes, Options{})
		mustNot(t, err)
		mustNot(t, m.Close())
	}
	if grown := addressSpaceBytes(t) - before; grown > sizeBytes/2 {
		t.Fatalf("%d bytes stayed mapped", grown)
	}
}

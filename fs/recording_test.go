package fs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/prefetch"
	"sabrefs/store"
	"sabrefs/tests/seedtest"
)

// pagesArg is what a process that touches pages in order is told.
type pagesArg struct {
	Path, Want string // the file, and one with the bytes it must have
	Advice     int    // of madvise(2)
	Pages      []uint32
}

// touchPagesRole maps a file privately, as a VMM does, touches pages in the given
// order and compares their bytes.
func touchPagesRole(arg string) error {
	var a pagesArg
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		return err
	}
	f, mem, want, err := mapAsGuest(a.Path, a.Want, a.Advice)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, page := range a.Pages {
		first := int(page) * store.PageBytes
		end := min(first+store.PageBytes, len(want))
		if !bytes.Equal(mem[first:end], want[first:end]) {
			return fmt.Errorf("page %d has other bytes", page)
		}
	}
	return nil
}

// touchPages returns the process that touches pages of a file of the mount.
func touchPages(t *testing.T, path string, raw []byte, advice int, pages []uint32) *exec.Cmd {
	t.Helper()
	want := filepath.Join(t.TempDir(), "want")
	writeFile(t, want, raw)
	arg, err := json.Marshal(pagesArg{path, want, advice, pages})
	mustNot(t, err)
	cmd := roleCommand("touch-pages", string(arg))
	cmd.Stderr = os.Stderr
	return cmd
}

func withRecording(dir string, window time.Duration) mountOption {
	return func(a *mountArg, _ *exec.Cmd) { a.RecordDir, a.RecordWindow = dir, window }
}

// somePages draws different pages of memory, in no order.
func somePages(t *testing.T, raw []byte, count int) []uint32 {
	t.Helper()
	random := seedtest.Rand(t)
	pageCount := (len(raw) + store.PageBytes - 1) / store.PageBytes
	var pages []uint32
	for _, page := range random.Perm(pageCount)[:count] {
		pages = append(pages, uint32(page))
	}
	return pages
}

func recordedPages(t *testing.T, path string) []uint32 {
	t.Helper()
	trace, err := prefetch.ReadFile(path)
	mustNot(t, err)
	return trace.Pages()
}

// TestRecordingIsExact: whatever read-ahead a mapping is advised to have, the trace
// has the pages that were touched, in the order of their first touch.
func TestRecordingIsExact(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(1, 16<<20)
	packSample(t, dir, "mem_file", raw, defaultPack)
	for name, advice := range map[string]int{
		"normal": unix.MADV_NORMAL, "huge pages": unix.MADV_HUGEPAGE,
		"sequential": unix.MADV_SEQUENTIAL, "random": unix.MADV_RANDOM,
	} {
		t.Run(name, func(t *testing.T) {
			traces := t.TempDir()
			m := mountStore(t, dir, withRecording(traces, 0))
			pages := somePages(t, raw, 700)
			again := slices.Concat(pages, pages[:50]) // touched already
			mustNot(t, touchPages(t, m.file("mem_file"), raw, advice, again).Run())
			got := recordedPages(t, filepath.Join(traces, "mem_file.ws")) // there since the file was closed
			if !slices.Equal(got, pages) {
				t.Errorf("%d pages were recorded, %d touched, or in another order", len(got), len(pages))
			}
		})
	}
}

// TestRecordingIsBoundToItsImage, and keeps the times of the touches.
func TestRecordingIsBoundToItsImage(t *testing.T) {
	dir, raw := sampleStore(t)
	traces := t.TempDir()
	m := mountStore(t, dir, withRecording(traces, 0))
	mustNot(t, touchPages(t, m.file("snap/mem_file"), raw, unix.MADV_NORMAL, []uint32{9, 8, 4000}).Run())
	m.stop()
	trace, err := prefetch.ReadFile(filepath.Join(traces, "snap", "mem_file.ws"))
	mustNot(t, err)
	header, err := store.ReadHeader(filepath.Join(dir, "snap", "mem_file.sabre"))
	mustNot(t, err)
	mustNot(t, trace.Check(&header))
	if trace.Image != header.Identity || trace.Runs != 1 || time.Since(trace.CreatedAt) > time.Hour {
		t.Errorf("trace of %+v, %d runs, at %v", trace.Image, trace.Runs, trace.CreatedAt)
	}
}

// TestReadsWhileRecording that are no page faults get right bytes too.
func TestReadsWhileRecording(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir, withRecording(t.TempDir(), 0))
	wantContent(t, m.file("snap/mem_file"), raw)
	fd, err := unix.Open(m.file("snap/mem_file"), unix.O_RDONLY|unix.O_DIRECT, 0)
	mustNot(t, err)
	f := os.NewFile(uintptr(fd), "direct")
	defer f.Close()
	got := make([]byte, len(raw))
	if n, err := f.ReadAt(got, 0); n != len(raw) {
		t.Errorf("O_DIRECT: %d bytes of %d, %v", n, len(raw), err)
	}
	wantEqual(t, "O_DIRECT", got, raw)
}

// TestRecordingsDoNotMix: two guests at once, each on its own memory.
func TestRecordingsDoNotMix(t *testing.T) {
	dir, traces := t.TempDir(), t.TempDir()
	m := mountStore(t, dir, withRecording(traces, 0))
	var guests sync.WaitGroup
	for number := range 3 {
		name := fmt.Sprintf("guest%d", number)
		raw := sampleMemory(uint64(number), 4<<20)
		packSample(t, dir, name, raw, defaultPack)
		pages := somePages(t, raw, 300)
		touch := touchPages(t, m.file(name), raw, unix.MADV_NORMAL, pages)
		guests.Go(func() {
			if err := touch.Run(); err != nil {
				t.Error(err)
			}
			if got := recordedPages(t, filepath.Join(traces, name+".ws")); !slices.Equal(got, pages) {
				t.Errorf("%s: %d pages were recorded, %d touched, or in another order", name, len(got), len(pages))
			}
		})
	}
	guests.Wait()
}

// TestRecordingWindow: the trace is there when the window ends, what is touched
// later is not in it, and read-ahead is served again.
func TestRecordingWindow(t *testing.T) {
	dir, raw := sampleStore(t)
	traces := t.TempDir()
	const window = 2 * time.Second
	m := mountStore(t, dir, withRecording(traces, window))
	path := filepath.Join(traces, "snap", "mem_file.ws")
	held, err := os.Open(m.file("snap/mem_file")) // the window begins
	mustNot(t, err)
	defer held.Close()
	mustNot(t, touchPages(t, m.file("snap/mem_file"), raw, unix.MADV_NORMAL, []uint32{3, 2}).Run())
	eventually(t, "the window ended", func() bool {
		return !fileReport(t, m.file("snap/mem_file")).Recording.Active
	})
	wantContent(t, m.file("snap/mem_file"), raw)
	if got := recordedPages(t, path); !slices.Equal(got, []uint32{3, 2}) {
		t.Errorf("recorded %v", got)
	}
	r := fileReport(t, m.file("snap/mem_file"))
	if r.Recording.Path != path || r.Recording.Pages != 2 || r.Reads > 1000 {
		t.Errorf("%+v, %d reads", *r.Recording, r.Reads)
	}
}

// fileReport reads what a mount says of a file.
func fileReport(t *testing.T, path string) FileReport {
	t.Helper()
	var r FileReport
	readStats(t, path, &r)
	return r
}

// readStats decodes an attribute that may change at any moment.
func readStats(t *testing.T, path string, value any) {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Getxattr(path, xattrStats, b)
	mustNot(t, err)
	mustNot(t, json.Unmarshal(b[:n], value))
}

// TestKilledWhileRecording: the trace of an earlier recording stays as it was.
func TestKilledWhileRecording(t *testing.T) {
	dir, raw := sampleStore(t)
	traces := t.TempDir()
	path := filepath.Join(traces, "snap", "mem_file.ws")
	m := mountStore(t, dir, withRecording(traces, 0))
	mustNot(t, touchPages(t, m.file("snap/mem_file"), raw, unix.MADV_NORMAL, []uint32{7}).Run())
	m.stop()
	before, err := os.ReadFile(path)
	mustNot(t, err)
	m = mountStore(t, dir, withRecording(traces, 0))
	held, err := os.Open(m.file("snap/mem_file"))
	mustNot(t, err)
	_, err = held.ReadAt(make([]byte, 10), 100*store.PageBytes)
	mustNot(t, err)
	mustNot(t, m.cmd.Process.Kill())
	_ = m.cmd.Wait() // killed, as it says
	m.over = true
	_ = held.Close() // nobody is there to be told
	mustNot(t, unix.Unmount(m.point, unix.MNT_DETACH))
	after, err := os.ReadFile(path)
	mustNot(t, err)
	wantEqual(t, "the earlier trace", after, before)
	entries, err := os.ReadDir(filepath.Dir(path))
	mustNot(t, err)
	if len(entries) != 1 {
		t.Errorf("beside the trace there is %v", entries)
	}
}

// TestRecordingOfNothing leaves an earlier trace alone.
func TestRecordingOfNothing(t *testing.T) {
	dir, _ := sampleStore(t)
	traces := t.TempDir()
	m := mountStore(t, dir, withRecording(traces, 0))
	f, err := os.Open(m.file("snap/mem_file"))
	mustNot(t, err)
	mustNot(t, f.Close())
	m.stop()
	if _, err := os.Stat(filepath.Join(traces, "snap", "mem_file.ws")); !os.IsNotExist(err) {
		t.Errorf("a trace of nothing: %v", err)
	}
}

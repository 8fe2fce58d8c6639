package fs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/prefetch"
	"sabrefs/store"
)

func withPrefetch(mode PrefetchMode, traces string) mountOption {
	return func(a *mountArg, _ *exec.Cmd) { a.Prefetch, a.WorkingSetDir = mode, traces }
}

func withBudget(lenBytes int64) mountOption {
	return func(a *mountArg, _ *exec.Cmd) { a.BudgetBytes = lenBytes }
}

// writeTrace makes a trace of an image and returns the directory it is in.
func writeTrace(t *testing.T, image, name string, pages []uint32) (dir string) {
	t.Helper()
	header, err := store.ReadHeader(image)
	mustNot(t, err)
	trace := &prefetch.Trace{Image: header.Identity, RawBytes: header.RawBytes, Runs: 1}
	for i, page := range pages {
		trace.Touches = append(trace.Touches, prefetch.Touch{Page: page, AtMicros: uint32(i), Runs: 1})
	}
	dir = t.TempDir()
	path := filepath.Join(dir, name+prefetch.TraceSuffix)
	mustNot(t, os.MkdirAll(filepath.Dir(path), 0o755))
	mustNot(t, trace.WriteFile(path))
	return dir
}

// tracedStore is the sample's store and a trace of some of its pages.
func tracedStore(t *testing.T) (dir string, raw []byte, traces string, pages []uint32) {
	t.Helper()
	dir, raw = sampleStore(t)
	pages = somePages(t, raw, 1500)
	return dir, raw, writeTrace(t, filepath.Join(dir, "snap", "mem_file.sabre"), "snap/mem_file", pages), pages
}

// waitPrefetched waits until nothing is pushed any more and returns what was.
func waitPrefetched(t *testing.T, path string) PrefetchReport {
	t.Helper()
	var r PrefetchReport
	eventually(t, "prefetch ended", func() bool {
		report := fileReport(t, path)
		if report.Prefetch == nil {
			return false
		}
		r = *report.Prefetch
		return r.State == "done" || r.State == "stopped"
	})
	return r
}

// openHeld opens a file of the mount until the test ends.
func openHeld(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	mustNot(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// wantHardlyRead fails if many of the pages that were pushed are read nevertheless, each
// time that it is tried. Once may be chance: a kernel may reclaim pages at any time, and
// other tests of this machine empty its page cache.
func wantHardlyRead(t *testing.T, pages []uint32, reads func() int64) {
	t.Helper()
	const tries = 4
	var got int64
	for range tries {
		if got = reads(); got <= int64(len(pages)/50) {
			return
		}
	}
	t.Errorf("%d reads of %d pages that were pushed", got, len(pages))
}

// readsOf opens a file of a new mount, waits for the end of prefetch, has pages touched,
// and returns how many reads there were.
func readsOf(t *testing.T, m *testMount, name string, raw []byte, pages []uint32) int64 {
	t.Helper()
	path := m.file(name)
	openHeld(t, path)
	waitPrefetched(t, path)
	before := m.stats().Reads
	mustNot(t, touchPages(t, path, raw, unix.MADV_RANDOM, pages).Run())
	return m.stats().Reads - before
}

// TestPrefetchIsAheadOfTheGuest: what was pushed is not asked for any more, and its
// bytes are right.
func TestPrefetchIsAheadOfTheGuest(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	openHeld(t, path)
	r := waitPrefetched(t, path)
	if r.State != "done" || r.Set != "trace" || r.Planned != int64(len(pages)) || r.Used != r.Planned || r.Late != 0 || r.BadFrames != 0 || r.FailedPushes != 0 {
		t.Errorf("prefetch: %+v", r)
	}
	wantContent(t, path, raw)
	wantHardlyRead(t, pages, func() int64 {
		return readsOf(t, mountStore(t, dir, withPrefetch(PrefetchWS, traces)), "snap/mem_file", raw, pages)
	})
}

// TestPrefetchFromTheImage: an image that knows its working set needs no trace.
func TestPrefetchFromTheImage(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(1, sampleBytes)
	options := defaultPack
	options.WorkingSet = []store.PageRun{{FirstPage: 2000, PageCount: 300}, {FirstPage: 7, PageCount: 90}}
	packSample(t, dir, "mem", raw, options)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, ""))
	openHeld(t, m.file("mem"))
	r := waitPrefetched(t, m.file("mem"))
	if r.Set != "image" || r.Planned != 390 || r.Used != 390 {
		t.Errorf("prefetch: %+v", r)
	}
	wantContent(t, m.file("mem"), raw)
}

// TestPrefetchAll pushes everything that is not zero.
func TestPrefetchAll(t *testing.T) {
	dir, raw, traces, _ := tracedStore(t)
	var data []uint32
	for page := range len(raw) / store.PageBytes {
		if !isZero(raw[page*store.PageBytes:][:store.PageBytes]) {
			data = append(data, uint32(page))
		}
	}
	wantHardlyRead(t, data, func() int64 {
		return readsOf(t, mountStore(t, dir, withPrefetch(PrefetchAll, traces)), "snap/mem_file", raw, data)
	})
}

// TestPrefetchEager begins with the mount; nobody opens the file.
func TestPrefetchEager(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	wantHardlyRead(t, pages, func() int64 {
		m := mountStore(t, dir, withPrefetch(PrefetchEager, traces))
		path := m.file("snap/mem_file")
		waitPrefetched(t, path)
		if s := m.stats(); s.Opens != 0 || s.PushedBytes == 0 {
			t.Errorf("%d bytes were pushed, after %d opens", s.PushedBytes, s.Opens)
		}
		mustNot(t, touchPages(t, path, raw, unix.MADV_RANDOM, pages).Run())
		return m.stats().Reads
	})
}

// TestPrefetchNone pushes nothing.
func TestPrefetchNone(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchNone, traces))
	mustNot(t, touchPages(t, m.file("snap/mem_file"), raw, unix.MADV_NORMAL, pages).Run())
	if s := m.stats(); s.Pushes != 0 || s.Reads == 0 {
		t.Errorf("%d pushes, %d reads", s.Pushes, s.Reads)
	}
}

// TestPrefetchBudget ends a session; the bytes are there again when it is over.
func TestPrefetchBudget(t *testing.T) {
	dir, raw, traces, _ := tracedStore(t)
	const budget = 1 << 20
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces), withBudget(budget))
	path := m.file("snap/mem_file")
	f := openHeld(t, path)
	if r := waitPrefetched(t, path); r.State != "stopped" || r.PushedBytes > budget || r.PushedBytes < budget/2 {
		t.Errorf("prefetch: %+v", r)
	}
	wantContent(t, path, raw)
	mustNot(t, f.Close())
	eventually(t, "the budget is whole", func() bool { return mountReport(t, m).BudgetLeftBytes == budget })
}

func mountReport(t *testing.T, m *testMount) MountReport {
	t.Helper()
	var r MountReport
	readStats(t, m.point, &r)
	return r
}

// TestTracesThatAreRefused: of another image, truncated, hostile. The log says so,
// nothing is pushed, and the file can be read.
func TestTracesThatAreRefused(t *testing.T) {
	other := t.TempDir()
	packSample(t, other, "other", sampleMemory(2, 5<<20), defaultPack)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		says  string
	}{
		"another image": {func(t *testing.T, path string) {
			t.Helper()
			from := writeTrace(t, filepath.Join(other, "other.sabre"), "x", []uint32{1, 2})
			mustNot(t, os.Rename(filepath.Join(from, "x.ws"), path))
		}, "of another image"},
		"truncated": {func(t *testing.T, path string) { t.Helper(); mustNot(t, os.Truncate(path, 200)) }, "trace"},
		"flipped":   {func(t *testing.T, path string) { t.Helper(); overwrite(t, path, 130, []byte{0xff, 0xff, 0xff, 0xff}) }, "trace"},
		"no trace":  {func(t *testing.T, path string) { t.Helper(); writeFile(t, path, []byte("something else")) }, "trace"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, raw, traces, _ := tracedStore(t)
			c.spoil(t, filepath.Join(traces, "snap", "mem_file.ws"))
			m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
			path := m.file("snap/mem_file")
			openHeld(t, path)
			if r := waitPrefetched(t, path); r.Set != "none" || r.PushedBytes != 0 || r.Planned != 0 {
				t.Errorf("prefetch: %+v", r)
			}
			wantContent(t, path, raw)
			if log := m.logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, c.says) {
				t.Errorf("the log says:\n%s", log)
			}
		})
	}
}

// TestHundredOpenersAtOnce share one session, in which each frame is decoded once.
func TestHundredOpenersAtOnce(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	var openers sync.WaitGroup
	for number := range 100 {
		f := openHeld(t, path)
		mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
		openers.Go(func() {
			for _, page := range pages[number*10:][:10] {
				got := make([]byte, store.PageBytes)
				want := raw[int(page)*store.PageBytes : min(len(raw), int(page+1)*store.PageBytes)]
				if n, err := f.ReadAt(got, int64(page)*store.PageBytes); n != len(want) {
					t.Errorf("page %d: %d bytes, %v", page, n, err)
				}
				wantEqual(t, fmt.Sprintf("page %d", page), got[:len(want)], want)
			}
		})
	}
	openers.Wait()
	waitPrefetched(t, path)
	if got, want := mountReport(t, m).DecodedFrames, framesOf(t, filepath.Join(dir, "snap", "mem_file.sabre"), pages); got < want || got > want+want/20 {
		t.Errorf("%d frames were decoded, the working set has %d", got, want) // a cache may refuse one now and then
	}
	r := fileReport(t, path)
	if r.Opens < 100 || r.Totals.Sessions != 1 || r.Users != 100 {
		t.Errorf("%d opens, %d users, %d sessions", r.Opens, r.Users, r.Totals.Sessions)
	}
}

// framesOf counts the frames that hold pages.
func framesOf(t *testing.T, image string, pages []uint32) int64 {
	t.Helper()
	img, err := store.Open(image, store.OpenOptions{})
	mustNot(t, err)
	defer img.Close()
	frames := make(map[uint32]bool)
	for _, page := range pages {
		var ref [1]store.PageRef
		mustNot(t, img.Pages(int64(page), ref[:]))
		if ref[0].Kind == store.PageInFrame {
			frames[ref[0].Frame] = true
		}
	}
	return int64(len(frames))
}

// TestPrefetchEndsWithTheLastClose, and begins anew with the next open unless the
// pages are still there.
func TestPrefetchEndsWithTheLastClose(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	for range 20 { // most of these closes come while pages are pushed
		f, err := os.Open(path)
		mustNot(t, err)
		mustNot(t, f.Close())
	}
	wantHardlyRead(t, pages, func() int64 {
		f, err := os.Open(path)
		mustNot(t, err)
		waitPrefetched(t, path)
		mustNot(t, f.Close())
		eventually(t, "the file is closed", func() bool { return fileReport(t, path).Users == 0 })
		pushed := m.stats().PushedBytes
		reads := readsOf(t, m, "snap/mem_file", raw, pages)
		return reads + (m.stats().PushedBytes-pushed)/store.PageBytes
	})
}

// TestUnmountWhilePrefetching ends the session; nothing hangs and nothing is left.
func TestUnmountWhilePrefetching(t *testing.T) {
	dir, _, traces, _ := tracedStore(t)
	for range 10 {
		m := mountStore(t, dir, withPrefetch(PrefetchEager, traces))
		m.stop()
	}
}

// TestUnmountWhileAskingForPages: a file that was pushed already is opened and closed, so
// that the kernel is asked what it still has, and the mount goes before it has answered.
func TestUnmountWhileAskingForPages(t *testing.T) {
	dir, _, traces, _ := tracedStore(t)
	for range 10 {
		m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
		path := m.file("snap/mem_file")
		f, err := os.Open(path)
		mustNot(t, err)
		waitPrefetched(t, path)
		mustNot(t, f.Close())
		for range 3 {
			again, err := os.Open(path)
			mustNot(t, err)
			mustNot(t, again.Close())
		}
		m.stop()
	}
}

// TestImageReplacedWhilePrefetching: who has the file open keeps its bytes, who
// opens it later gets the new ones, each with its own working set.
func TestImageReplacedWhilePrefetching(t *testing.T) {
	dir, raw, traces, _ := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	old := openHeld(t, path)
	newer := sampleMemory(3, sampleBytes)
	packSample(t, filepath.Join(dir, "snap"), "mem_file", newer, defaultPack)
	eventually(t, "the new file is seen", func() bool {
		f, err := os.Open(path)
		mustNot(t, err)
		defer f.Close()
		b := make([]byte, 1<<20)
		n, err := f.ReadAt(b, 2<<20)
		mustNot(t, err)
		return string(b[:n]) == string(newer[2<<20:][:n])
	})
	wantContent(t, path, newer)
	got := make([]byte, len(raw))
	_, err := old.ReadAt(got, 0)
	mustNot(t, err)
	wantEqual(t, "the file that was open", got, raw)
	if log := m.logged(); !strings.Contains(log, "another image") {
		t.Errorf("the trace of the old image was not refused for the new one:\n%s", log)
	}
}

// TestDamageWhilePrefetching: pages of a damaged frame are errors for who asks for
// them, with a log line; all others are pushed.
func TestDamageWhilePrefetching(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	image := filepath.Join(dir, "snap", "mem_file.sabre")
	bad := firstData(raw, pages)
	damageFrame(t, image, bad)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	f := openHeld(t, path)
	r := waitPrefetched(t, path)
	if r.BadFrames != 1 || r.State != "done" || r.Used == 0 || r.Used >= r.Planned {
		t.Errorf("prefetch: %+v", r)
	}
	mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	_, err := f.ReadAt(make([]byte, store.PageBytes), bad*store.PageBytes)
	wantErrno(t, "a page of the damaged frame", err, syscall.EIO)
	if log := m.logged(); !strings.Contains(log, "corrupt") || !strings.Contains(log, "offset") {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestEvictionWhilePrefetching: pages that the kernel drops are asked for again,
// and counted.
func TestEvictionWhilePrefetching(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	f := openHeld(t, path)
	for range 30 { // under the engine
		mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		time.Sleep(time.Millisecond)
	}
	waitPrefetched(t, path)
	mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	mustNot(t, touchPages(t, path, raw, unix.MADV_RANDOM, pages).Run())
	r := waitPrefetched(t, path)
	if r.Evicted == 0 || r.Wasted < r.Evicted || r.Used+r.Evicted != r.Planned {
		t.Errorf("prefetch: %+v", r)
	}
	wantContent(t, path, raw)
}

// TestPrefetchUnderMemoryLimit: a daemon whose memory is limited, page cache
// included, serves right bytes.
func TestPrefetchUnderMemoryLimit(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	m := mountStore(t, dir, withPrefetch(PrefetchAll, traces), withCache(1<<20))
	limitMemory(t, m, 48<<20)
	path := m.file("snap/mem_file")
	openHeld(t, path)
	waitPrefetched(t, path)
	mustNot(t, touchPages(t, path, raw, unix.MADV_NORMAL, pages).Run())
	wantContent(t, path, raw)
	if s := m.stats(); s.FailedReads != 0 {
		t.Errorf("%d reads failed", s.FailedReads)
	}
}

// TestColdPagesAreNotReadAround: while there is a working set, a guest that touches a
// page outside it gets that page, whatever a mapping with huge pages would read
// around it; where it touches several, the rest of the region is pushed.
func TestColdPagesAreNotReadAround(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(1, 16<<20)
	packSample(t, dir, "mem", raw, defaultPack)
	traces := writeTrace(t, filepath.Join(dir, "mem.sabre"), "mem", []uint32{0, 1, 2})
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	path := m.file("mem")
	openHeld(t, path)
	waitPrefetched(t, path)
	first := uint32(4 * coldRegionPages)
	alone := []uint32{first + 17, first + 400, first + 3*coldRegionPages}
	mustNot(t, touchPages(t, path, raw, unix.MADV_HUGEPAGE, alone).Run())
	r := fileReport(t, path)
	if r.Reads != int64(len(alone)) || r.ReadBytes != int64(len(alone))*store.PageBytes {
		t.Errorf("%d reads of %d bytes for %d pages", r.Reads, r.ReadBytes, len(alone))
	}
	var region []uint32
	for page := first; page < first+coldRegionPages; page++ {
		region = append(region, page)
	}
	mustNot(t, touchPages(t, path, raw, unix.MADV_HUGEPAGE, region[100:100+coldTouches]).Run())
	eventually(t, "the region is pushed", func() bool { return fileReport(t, path).Prefetch.Rest >= coldRegionPages })
}

// TestReadersOfAllAreServed: who reads the file through is taken for a page fault for
// a few megabytes only.
func TestReadersOfAllAreServed(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(4, 48<<20)
	packSample(t, dir, "mem", raw, defaultPack)
	traces := writeTrace(t, filepath.Join(dir, "mem.sabre"), "mem", []uint32{0, 1, 2})
	m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
	openHeld(t, m.file("mem"))
	waitPrefetched(t, m.file("mem"))
	wantContent(t, m.file("mem"), raw)
	const most = 2 * streamBytes / store.PageBytes
	if reads := m.stats().Reads; reads > most {
		t.Errorf("%d reads of %d pages, most of them were of single pages", reads, len(raw)/store.PageBytes)
	}
}

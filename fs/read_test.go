package fs

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

func TestReadWhole(t *testing.T) {
	for _, c := range []struct {
		name     string
		pack     store.PackOptions
		lenBytes int
	}{
		{"lz4", store.PackOptions{Codec: store.CodecLZ4}, sampleBytes},
		{"zstd", store.PackOptions{Codec: store.CodecZstd}, sampleBytes},
		{"deflate", store.PackOptions{Codec: store.CodecDeflate}, sampleBytes},
		{"raw", store.PackOptions{Raw: true}, sampleBytes},
		{"frames of one page", store.PackOptions{FramePages: 1}, sampleBytes},
		{"frames of 64 pages", store.PackOptions{FramePages: 64}, sampleBytes},
		{"empty", defaultPack, 0},
		{"one byte", defaultPack, 1},
		{"one page", defaultPack, store.PageBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, raw := t.TempDir(), sampleMemory(1, c.lenBytes)
			packSample(t, dir, "mem", raw, c.pack)
			m := mountStore(t, dir)
			wantContent(t, m.file("mem"), raw)
		})
	}
}

func TestReadWithoutFrameCache(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir, withCache(0))
	wantContent(t, m.file("snap/mem_file"), raw)
}

func TestRandomReads(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() { readRandomly(t, m.file("snap/mem_file"), raw, uint64(reader)) })
	}
	readers.Wait()
}

func readRandomly(t *testing.T, path string, raw []byte, seed uint64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		t.Error(err)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		off := random.Int64N(int64(len(raw)))
		b := make([]byte, random.IntN(40000))
		n, err := f.ReadAt(b, off)
		want := raw[off:min(int64(len(raw)), off+int64(len(b)))]
		if err != nil && (err != io.EOF || n != len(want)) {
			t.Errorf("seed %d: reading %d at %d: %d, %v", seed, len(b), off, n, err)
			return
		}
		wantEqual(t, fmt.Sprintf("seed %d: %d bytes at %d", seed, len(b), off), b[:n], want)
	}
}

// touchArg is what a process that maps a memory file is told.
type touchArg struct {
	Path, Want string // the file and its original
	Seed       uint64
	Private    bool // write to the mapping, then compare again
	Signals    bool // disturb the faults
	Count      int
}

// mapAsGuest maps a file privately, as a VMM does, and reads the bytes that it must have
// from another one. The caller closes the file.
func mapAsGuest(path, wantPath string, advice int) (f *os.File, mem, want []byte, err error) {
	if want, err = os.ReadFile(wantPath); err != nil {
		return nil, nil, nil, err
	}
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, nil, nil, err
	}
	mem, err = unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err == nil {
		err = unix.Madvise(mem, advice)
	}
	return f, mem, want, err
}

// touchRole maps a file and touches pages at random, as a guest does.
func touchRole(arg string) error {
	var a touchArg
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		return err
	}
	f, mem, want, err := mapAsGuest(a.Path, a.Want, unix.MADV_RANDOM)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil { // the mapping keeps the file
		return err
	}
	if a.Signals {
		defer disturb()()
	}
	return touch(mem, want, a)
}

func touch(mem, want []byte, a touchArg) error {
	random := rand.New(rand.NewPCG(a.Seed, 2))
	written := make(map[int]byte)
	for range a.Count {
		i := random.IntN(len(want))
		expected, ok := written[i]
		if !ok {
			expected = want[i]
		}
		if mem[i] != expected {
			return fmt.Errorf("seed %d: byte %d is %#x, want %#x", a.Seed, i, mem[i], expected)
		}
		if a.Private && i%3 == 0 {
			mem[i]++
			written[i] = mem[i]
		}
	}
	return nil
}

// disturb sends the calling thread signals without pause until the function
// that it returns is called.
func disturb() (stop func()) {
	runtime.LockOSThread()
	thread := unix.Gettid()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
	quit := make(chan struct{})
	var senders sync.WaitGroup
	senders.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				if err := unix.Tgkill(os.Getpid(), thread, unix.SIGUSR1); err != nil {
					return
				}
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	return func() { close(quit); senders.Wait() }
}

func runTouch(t *testing.T, a touchArg) {
	t.Helper()
	arg, err := json.Marshal(a)
	if err != nil {
		t.Error(err)
		return
	}
	cmd := roleCommand("touch", string(arg))
	timer := time.AfterFunc(time.Minute, func() {
		t.Error("a process that maps the file does not end, it is killed: ", cmd.Process.Kill())
	})
	defer timer.Stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("process that maps the file: %v\n%s", err, out)
	}
}

func TestMappedByManyProcesses(t *testing.T) {
	for _, prefetches := range []bool{false, true} {
		t.Run(fmt.Sprintf("prefetch=%v", prefetches), func(t *testing.T) {
			dir, raw, traces, _ := tracedStore(t)
			mode := PrefetchNone
			if prefetches {
				mode = PrefetchWS
			}
			m := mountStore(t, dir, withPrefetch(mode, traces))
			want := t.TempDir() + "/want"
			writeFile(t, want, raw)
			var guests sync.WaitGroup
			for guest := range 4 {
				guests.Go(func() {
					runTouch(t, touchArg{Path: m.file("snap/mem_file"), Want: want, Seed: uint64(guest), Private: guest%2 == 0, Count: 20000})
				})
			}
			guests.Wait()
			wantContent(t, m.file("snap/mem_file"), raw)
			if s := m.stats(); s.FailedPushes != 0 || s.FailedReads != 0 || prefetches != (s.Pushes > 0) {
				t.Errorf("counts: %+v", s)
			}
		})
	}
}

// A fault that signals interrupt must get its page all the same. Frames are as
// slow to decode as they can be, so that signals come faster.
func TestFaultsOutlastSignals(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(1, sampleBytes)
	packSample(t, dir, "mem_file", raw, store.PackOptions{Codec: store.CodecZstd, FramePages: store.MaxFramePages})
	m := mountStore(t, dir, withCache(0))
	want := t.TempDir() + "/want"
	writeFile(t, want, raw)
	runTouch(t, touchArg{Path: m.file("mem_file"), Want: want, Seed: 9, Signals: true, Count: 2000})
}

// Who reads a memory file second finds its pages in the page cache, also if the
// first has closed it. The kernel may drop pages at any time, for instance when
// somebody benchmarks on this machine, so there are several attempts.
func TestSecondOpenReadsNothing(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	path := m.file("snap/mem_file")
	wantContent(t, path, raw)
	eventually(t, "a second reader causes no request", func() bool {
		before := m.stats()
		wantContent(t, path, raw)
		mem := mapFile(t, path, unix.MAP_PRIVATE)
		wantEqual(t, "mapping", mem, raw)
		after := m.stats()
		if before.Reads == 0 || after.Opens != before.Opens+2 {
			t.Fatalf("counts before: %+v, after: %+v", before, after)
		}
		if after.Reads != before.Reads {
			t.Logf("%d requests of %d bytes", after.Reads-before.Reads, after.ReadBytes-before.ReadBytes)
		}
		return after.Reads == before.Reads
	})
}

func TestPlainFilesFollowTheStore(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	path := dir + "/snap/vmstate"
	wantContent(t, m.file("snap/vmstate"), []byte("state of the devices"))
	writeFile(t, path, []byte("another state"))
	eventually(t, "the new content is seen", func() bool {
		b, err := os.ReadFile(m.file("snap/vmstate"))
		return err == nil && string(b) == "another state"
	})
}

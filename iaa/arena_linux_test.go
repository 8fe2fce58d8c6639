package iaa

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestArenaLayout(t *testing.T) {
	a, err := newArena(usualSlots)
	wantNoError(t, err)
	if len(a.mem) > 8<<20 || len(a.mem) != (DeviceOptions{}).LockedBytes() {
		t.Errorf("%d bytes are locked, 8 MiB is the usual limit, %d were announced", len(a.mem), DeviceOptions{}.LockedBytes())
	}
	type span struct{ start, end uint64 }
	var spans []span
	add := func(b []byte, align uint64) {
		start := addressOf(&b[0])
		if start%align != 0 {
			t.Errorf("%d bytes at %#x are not aligned to %d", len(b), start, align)
		}
		spans = append(spans, span{start, start + uint64(len(b))})
	}
	add(a.fixedCodes[:], 64)
	for class, count := range usualSlots {
		if len(a.slots[class]) != count || len(a.pools[class].free) != count {
			t.Errorf("class %d has %d slots, %d free", class, len(a.slots[class]), len(a.pools[class].free))
		}
		for i := range a.slots[class] {
			s := &a.slots[class][i]
			add(s.descriptor[:], 64)
			add(s.record[:], 64)
			add(s.aecs[:], 32)
			add(s.source, 64)
			add(s.output, 64)
			if len(s.source) != slotRoomBytes[class] || len(s.output) != slotRoomBytes[class] {
				t.Errorf("slot %d of class %d has %d and %d bytes", i, class, len(s.source), len(s.output))
			}
		}
	}
	first := addressOf(&a.mem[0])
	for i, one := range spans {
		if one.start < first || one.end > first+uint64(len(a.mem)) {
			t.Fatalf("part %d is outside of the arena", i)
		}
		for _, other := range spans[:i] {
			if one.start < other.end && other.start < one.end {
				t.Fatalf("part %d overlaps another", i)
			}
		}
	}
	if len(a.free) != 0 {
		t.Errorf("%d bytes are left over", len(a.free))
	}
	wantNoError(t, a.release())
}

// TestArenaIsResident: a completion record on a page that is not there would
// never be written, and nobody would learn of it.
func TestArenaIsResident(t *testing.T) {
	a, err := newArena([slotClasses]int{smallSlot: 16, largeSlot: 1})
	wantNoError(t, err)
	defer func() { wantNoError(t, a.release()) }()
	pageBytes := os.Getpagesize()
	resident := make([]byte, (len(a.mem)+pageBytes-1)/pageBytes)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(&a.mem[0])), uintptr(len(a.mem)), uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for i, b := range resident {
		if b&1 == 0 {
			t.Errorf("page %d of %d is not there", i, len(resident))
		}
	}
}

func TestArenaForgetsItsMemory(t *testing.T) {
	a, err := newArena([slotClasses]int{smallSlot: 1, largeSlot: 1})
	wantNoError(t, err)
	kept := &a.slots[smallSlot][0]
	wantNoError(t, a.release())
	if kept.source != nil || kept.record != nil || a.mem != nil || a.fixedCodes != nil {
		t.Error("pointers into the memory outlive it")
	}
}

// TestMemoryLimit locks memory as a process without privileges does. The thread
// that gives its capabilities up is not used again.
func TestMemoryLimit(t *testing.T) {
	var before unix.Rlimit
	wantNoError(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before))
	limitBytes := min(256<<10, before.Max)
	low := unix.Rlimit{Cur: limitBytes, Max: before.Max}
	wantNoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &low))
	defer func() { wantNoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before)) }()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			result <- err
			return
		}
		_, err := newArena(usualSlots)
		result <- err
	}()
	err := <-result
	refused := errors.Is(err, unix.ENOMEM) || limitBytes == 0 && errors.Is(err, unix.EPERM)
	if !refused || !strings.Contains(err.Error(), fmt.Sprintf("RLIMIT_MEMLOCK is %d KiB", limitBytes>>10)) {
		t.Errorf("error is %v", err)
	}
}

func TestArenaTooLarge(t *testing.T) {
	_, err := newArena([slotClasses]int{smallSlot: 1, largeSlot: 1 << 28})
	if !errors.Is(err, unix.ENOMEM) {
		t.Errorf("error is %v", err)
	}
}

package inflate

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapGuarded maps memory whose first and last page must not be touched, and
// returns what is between: lenBytes, rounded up to pages. It is never unmapped.
func mapGuarded(lenBytes int) ([]byte, error) {
	page := unix.Getpagesize()
	size := (lenBytes + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	for _, guard := range [][]byte{all[:page], all[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			return nil, err
		}
	}
	return all[page : page+size : page+size], nil
}

// TestGuards makes sure that the pages around a buffer fail any access: all
// other tests rely on it.
func TestGuards(t *testing.T) {
	mem, err := mapGuarded(100)
	wantNoError(t, err)
	start := unsafe.Pointer(unsafe.SliceData(mem)) // to reach beyond what Go lets index
	for name, test := range map[string]struct {
		touch func()
		fault bool
	}{
		"read first":   {func() { sink = *(*byte)(start) }, false},
		"read before":  {func() { sink = *(*byte)(unsafe.Add(start, -1)) }, true},
		"read behind":  {func() { sink = *(*byte)(unsafe.Add(start, len(mem))) }, true},
		"write before": {func() { *(*byte)(unsafe.Add(start, -1)) = sink }, true},
		"write last":   {func() { *(*byte)(unsafe.Add(start, len(mem)-1)) = sink }, false},
		"write behind": {func() { *(*byte)(unsafe.Add(start, len(mem))) = sink }, true},
	} {
		if got := faults(test.touch); got != test.fault {
			t.Errorf("%s: fault is %v, want %v", name, got, test.fault)
		}
	}
}

// sink keeps reads from being optimized away.
var sink byte

// faults reports whether f touches memory that it must not.
func faults(f func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() != nil }()
	f()
	return false
}

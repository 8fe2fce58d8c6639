//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl makes a request with a number as its argument. Requests are repeated
// when a signal came first: Go's runtime sends some to every thread.
func ioctl(fd int, request, arg uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// ioctlPointer makes a request whose argument is read or written by the kernel.
func ioctlPointer(fd int, request uintptr, arg unsafe.Pointer) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// transfer is ioctlPointer for requests that answer nothing but an error.
func transfer[T any](fd int, request uintptr, arg *T, doing string) error {
	if _, err := ioctlPointer(fd, request, unsafe.Pointer(arg)); err != nil { //nolint:gosec // G103: an ioctl takes a pointer
		return fmt.Errorf("kvm: %s: %w", doing, err)
	}
	return nil
}

// Lists that the kernel reads and writes are a count and that many entries. The
// arrays have room for the most that any kernel knows; see the limits in Linux,
// arch/x86/include/asm/kvm_host.h and arch/x86/kvm/x86.c.
const (
	maxCPUIDEntries = 256  // KVM_MAX_CPUID_ENTRIES
	maxMSRIndices   = 1024 // num_msrs_to_save and num_emulated_msrs: some 300
	maxMSRs         = 256  // MAX_IO_MSRS: for one request
)

type cpuidList struct {
	count   uint32
	_       uint32
	entries [maxCPUIDEntries]CPUIDEntry
}

type msrList struct {
	count   uint32
	_       uint32
	entries [maxMSRs]MSR
}

type msrIndexList struct {
	count   uint32
	indices [maxMSRIndices]uint32
}

func (l *cpuidList) set(entries []CPUIDEntry) error {
	if len(entries) > len(l.entries) {
		return fmt.Errorf("%w: %d CPUID entries, at most %d are possible", errTooMany, len(entries), len(l.entries))
	}
	l.count = uint32(len(entries))
	copy(l.entries[:], entries)
	return nil
}

// get copies what the kernel has written.
func (l *cpuidList) get() []CPUIDEntry {
	return append([]CPUIDEntry(nil), l.entries[:min(int(l.count), len(l.entries))]...)
}

var errTooMany = errors.New("kvm: too many entries")

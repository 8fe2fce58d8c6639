package memory

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePageBytes is what the processor maps at once where it can.
const hugePageBytes = 2 << 20

const readWrite = unix.PROT_READ | unix.PROT_WRITE

// mapAligned maps lenBytes bytes of fd, or of nothing if fd is negative, at an
// address that is a multiple of a huge page: a guest's huge pages can only be
// huge pages of ours if both begin at such a multiple.
func mapAligned(fd int, lenBytes int64) ([]byte, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_NORESERVE
	if fd < 0 {
		flags |= unix.MAP_ANONYMOUS
	}
	reserved, err := unix.MmapPtr(-1, 0, nil, uintptr(lenBytes)+hugePageBytes, unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving addresses for %d bytes of guest memory: %w", lenBytes, err)
	}
	skip := -uintptr(reserved) & (hugePageBytes - 1)
	at, err := unix.MmapPtr(fd, 0, unsafe.Add(reserved, skip), uintptr(lenBytes), readWrite, flags|unix.MAP_FIXED)
	if err != nil {
		err = fmt.Errorf("mapping %d bytes of guest memory: %w", lenBytes, err)
		return nil, errors.Join(err, unix.MunmapPtr(reserved, uintptr(lenBytes)+hugePageBytes))
	}
	if err := trim(reserved, skip, uintptr(lenBytes)); err != nil {
		return nil, errors.Join(err, unix.MunmapPtr(at, uintptr(lenBytes)))
	}
	return unsafe.Slice((*byte)(at), lenBytes), nil //nolint:gosec // memory outside the Go heap, of exactly this size
}

// trim gives back the addresses before and after the memory.
func trim(reserved unsafe.Pointer, skip, lenBytes uintptr) error {
	var errs [2]error
	if skip > 0 {
		errs[0] = unix.MunmapPtr(reserved, skip)
	}
	if rest := hugePageBytes - skip; rest > 0 {
		errs[1] = unix.MunmapPtr(unsafe.Add(reserved, skip+lenBytes), rest)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("giving back spare addresses: %w", err)
	}
	return nil
}

func unmap(mapping []byte) error {
	err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mapping)), uintptr(len(mapping))) //nolint:gosec // memory outside the Go heap
	if err != nil {
		return fmt.Errorf("unmapping guest memory: %w", err)
	}
	return nil
}

package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mappedTable is a section of an image, mapped read-only and used in place.
//
// A mapping of a file can vanish: if the file is truncated after open, an
// access beyond its end raises SIGBUS, which by default ends the process and
// with it every guest of the mount. Hence all access goes through guard, which
// turns the fault into an error.
type mappedTable struct {
	bytes []byte
}

// mapTable maps lenBytes bytes of file at packedOff, which must be aligned to
// pages. A length of zero maps nothing.
func mapTable(file *os.File, packedOff, lenBytes int64) (mappedTable, error) {
	if lenBytes == 0 {
		return mappedTable{}, nil
	}
	b, err := unix.Mmap(int(file.Fd()), packedOff, int(lenBytes), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return mappedTable{}, fmt.Errorf("mapping %d bytes at offset %d: %w", lenBytes, packedOff, err)
	}
	// A fault would read around itself as much as the disk's read-ahead, which
	// may be megabytes; a part of a table has 16 KiB (see willRead).
	if err := unix.Madvise(b, unix.MADV_RANDOM); err != nil {
		return mappedTable{}, errors.Join(fmt.Errorf("advising on a mapping: %w", err), unix.Munmap(b))
	}
	return mappedTable{bytes: b}, nil
}

// willRead requests a part of a table with one access to the disk, instead of
// one for each of its pages as they fault. It is a hint, and may fail.
func willRead(part []byte) { _ = unix.Madvise(part, unix.MADV_WILLNEED) }

func (t *mappedTable) unmap() error {
	if t.bytes == nil {
		return nil
	}
	b := t.bytes
	t.bytes = nil
	return unix.Munmap(b)
}

// mappingFaultError is an access to a mapped table whose file had become shorter.
type mappingFaultError struct{ addr uintptr }

func (f *mappingFaultError) Error() string {
	return fmt.Sprintf("%v: the file shrank while it was mapped (fault at %#x)", ErrTruncated, f.addr)
}

func (f *mappingFaultError) Unwrap() error { return ErrTruncated }

// covers reports whether an address is in the table.
func (t *mappedTable) covers(addr uintptr) bool {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(t.bytes))) //nolint:gosec // the address is only compared
	return addr >= begin && addr-begin < uintptr(len(t.bytes))
}

// blame names the file in an error, and for a fault finds the file of the chain in
// whose tables it was.
func (img *Image) blame(err error) error {
	fault, ok := errors.AsType[*mappingFaultError](err)
	if !ok {
		return inFile(img.path, err)
	}
	for _, layer := range img.chain {
		if layer.pageMap.covers(fault.addr) || layer.frames.covers(fault.addr) {
			return inFile(layer.path, findingAt(ErrTruncated, wholeFile, "the file shrank while it was mapped (fault at %#x)", fault.addr))
		}
	}
	return inFile(img.path, err)
}

// guard runs read, which may access mapped tables, and returns its error, or
// ErrTruncated if an access faulted.
func guard(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r) //nolint:forbidigo // a bug of ours that panicked, not a fault of the mapping
			}
			err = &mappingFaultError{fault.Addr()}
		}
	}()
	return read()
}

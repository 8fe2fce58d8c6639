package memory

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Options of a memory.
type Options struct {
	// HugePages asks the kernel for huge pages: fewer and larger page faults.
	HugePages bool
	// TrackWrites keeps a bit for each page that was written.
	TrackWrites bool
}

// Memory is the RAM of one guest.
type Memory struct {
	mapping []byte   // immutable until Close
	regions []Region // immutable until Close
	written pageBitmap
	file    *os.File // behind the mapping, to ask for its holes; nil if there is none

	closeOnce sync.Once
	closeErr  error
}

// New returns a memory of zeros.
func New(sizeBytes int64, opt Options) (*Memory, error) {
	if err := CheckSize(sizeBytes); err != nil {
		return nil, err
	}
	return newMemory(-1, sizeBytes, opt)
}

// Map returns a memory with the contents of file, which is not read before the
// guest does. The caller may close the file afterwards. It must have the size of the
// memory: a page beyond its end could never be read.
func Map(file *os.File, sizeBytes int64, opt Options) (*Memory, error) {
	if err := CheckSize(sizeBytes); err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("memory file %s: %w: not a regular file", file.Name(), ErrSize)
	}
	if info.Size() != sizeBytes {
		return nil, fmt.Errorf("memory file %s: %w: %d bytes instead of the %d of the guest's memory", file.Name(), ErrSize, info.Size(), sizeBytes)
	}
	m, err := newMemory(int(file.Fd()), sizeBytes, opt)
	if err != nil {
		return nil, fmt.Errorf("memory file %s: %w", file.Name(), err)
	}
	if m.file, err = duplicate(file); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func duplicate(file *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("memory file %s: %w", file.Name(), err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

func newMemory(fd int, sizeBytes int64, opt Options) (*Memory, error) {
	mapping, err := mapAligned(fd, sizeBytes)
	if err != nil {
		return nil, err
	}
	if opt.HugePages {
		// A kernel without huge pages refuses, and the guest is as right with
		// small ones.
		_ = unix.Madvise(mapping, unix.MADV_HUGEPAGE)
	}
	m := &Memory{mapping: mapping, regions: regionsOf(mapping)}
	if opt.TrackWrites {
		m.written = newPageBitmap(sizeBytes / PageBytes)
	}
	return m, nil
}

// SizeBytes is the size of the memory and of its file.
func (m *Memory) SizeBytes() int64 { return int64(len(m.mapping)) }

// Regions returns the stretches of the memory in the order of their addresses.
func (m *Memory) Regions() []Region { return m.regions }

// Slice returns lenBytes bytes of memory at gpa, to read. They lie in one
// region, else ErrUnmapped is returned.
func (m *Memory) Slice(gpa uint64, lenBytes int) ([]byte, error) {
	fileOff, err := m.fileOff(gpa, lenBytes)
	if err != nil {
		return nil, err
	}
	end := fileOff + int64(lenBytes)
	return m.mapping[fileOff:end:end], nil
}

// SliceForWrite returns lenBytes bytes of memory at gpa, to be written now, and
// marks their pages as written. See Slice.
func (m *Memory) SliceForWrite(gpa uint64, lenBytes int) ([]byte, error) {
	fileOff, err := m.fileOff(gpa, lenBytes)
	if err != nil {
		return nil, err
	}
	end := fileOff + int64(lenBytes)
	if m.written != nil && lenBytes > 0 {
		m.written.setRange(fileOff/PageBytes, (end-1)/PageBytes)
	}
	return m.mapping[fileOff:end:end], nil
}

func (m *Memory) fileOff(gpa uint64, lenBytes int) (int64, error) {
	if m.mapping == nil {
		return 0, ErrClosed
	}
	fileOff, ok := fileOffOf(gpa, lenBytes, m.SizeBytes())
	if !ok {
		return 0, fmt.Errorf("%w: %d bytes at %#x", ErrUnmapped, lenBytes, gpa)
	}
	return fileOff, nil
}

// Tracked says whether written pages are marked.
func (m *Memory) Tracked() bool { return m.written != nil }

// MarkWritten marks pages of region i that somebody else saw written: words is
// KVM's log of it, with a bit for each page.
func (m *Memory) MarkWritten(i int, words []uint64) {
	if m.written != nil {
		m.written.merge(m.regions[i].FileOff/PageBytes, words)
	}
}

// Written returns a bit for each page of the memory file: whether it was
// written since the memory was made or ForgetWritten was called. It is nil if
// writes are not tracked.
func (m *Memory) Written() []uint64 {
	if m.written == nil {
		return nil
	}
	return m.written.words()
}

// ForgetWritten marks all pages as not written.
func (m *Memory) ForgetWritten() { m.written.clear() }

// Close unmaps the memory. It may be called more than once.
func (m *Memory) Close() error {
	m.closeOnce.Do(func() {
		mapping := m.mapping
		m.mapping, m.regions = nil, nil
		m.closeErr = unmap(mapping)
		if m.file != nil {
			m.closeErr = errors.Join(m.closeErr, m.file.Close())
		}
	})
	return m.closeErr
}

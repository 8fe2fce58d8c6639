package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// memorySource is a memory file to be packed.
type memorySource interface {
	io.ReaderAt
	name() string
	rawBytes() int64
	// nextData returns the first offset of data at rawOff or after it, and
	// nextHole the first offset of a hole; rawBytes() stands for none.
	nextData(rawOff int64) (int64, error)
	nextHole(rawOff int64) (int64, error)
	// unchanged fails with ErrChanged if the content may have changed since
	// the source was opened.
	unchanged() error
	Close() error
}

// rawFile is a memory file as a VMM wrote it.
type rawFile struct {
	*os.File
	opened fs.FileInfo
}

func openRawFile(path string) (*rawFile, error) {
	f, err := openRegular(path, ErrOption)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkMemoryFile(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &rawFile{f, info}, nil
}

func checkMemoryFile(path string, info fs.FileInfo) error {
	if info.Size() > MaxRawBytes {
		return &FileError{Path: path, PackedOff: wholeFile, Err: ErrLimit,
			Detail: fmt.Sprintf("%d bytes, at most %d", info.Size(), MaxRawBytes)}
	}
	return nil
}

// openRegular opens a regular file for reading. Anything else is refused with
// the given class, before it is opened: a pipe would wait for a writer.
func openRegular(path string, class error) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FileError{Path: path, PackedOff: wholeFile, Err: class, Detail: "it is not a regular file"}
	}
	// os.Open would try to poll the file, which takes four system calls more.
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// ignoringEINTR repeats a system call that a signal interrupted.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// sameChangeTime compares the times of the last change of content or metadata,
// which programs cannot set. They say nothing if a name of the file was made or
// removed, which changes them too.
func sameChangeTime(a, b fs.FileInfo) bool {
	before, okBefore := a.Sys().(*syscall.Stat_t)
	after, okAfter := b.Sys().(*syscall.Stat_t)
	return !okBefore || !okAfter || before.Nlink != after.Nlink || before.Ctim == after.Ctim
}

func (f *rawFile) name() string    { return f.File.Name() }
func (f *rawFile) rawBytes() int64 { return f.opened.Size() }

func (f *rawFile) nextData(rawOff int64) (int64, error) { return f.seek(rawOff, unix.SEEK_DATA) }
func (f *rawFile) nextHole(rawOff int64) (int64, error) { return f.seek(rawOff, unix.SEEK_HOLE) }

func (f *rawFile) seek(rawOff int64, whence int) (int64, error) {
	found, err := unix.Seek(int(f.Fd()), rawOff, whence)
	switch {
	case errors.Is(err, unix.ENXIO): // nothing of the kind up to the end
		return f.rawBytes(), nil
	case errors.Is(err, unix.EINVAL): // a filesystem without holes: all is data
		if whence == unix.SEEK_DATA {
			return rawOff, nil
		}
		return f.rawBytes(), nil
	case err != nil:
		return 0, fmt.Errorf("%s: seeking from offset %d: %w", f.name(), rawOff, err)
	}
	return min(found, f.rawBytes()), nil
}

// unchanged compares what the kernel changes with every write(2), and with the
// first store through a mapping after a write-back. Where files have no
// write-back (tmpfs), stores through a mapping leave no trace: hence the rule
// that the VM must be paused. A file that was replaced by another keeps its
// content for whoever has it open.
func (f *rawFile) unchanged() error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if now.Size() != f.opened.Size() || !now.ModTime().Equal(f.opened.ModTime()) || !sameChangeTime(f.opened, now) {
		return &FileError{Path: f.name(), PackedOff: wholeFile, Err: ErrChanged,
			Detail: "pause the VM, or copy the file, and pack again"}
	}
	return nil
}

// forEachSegment calls visit for the pages of the source that may hold data,
// in runs of at most maxPages, in order.
func forEachSegment(ctx context.Context, src memorySource, maxPages int64, visit func(firstPage, pageCount int64) error) error {
	pageCount := pagesOf(src.rawBytes())
	for page := int64(0); page < pageCount; {
		data, err := src.nextData(page * PageBytes)
		if err != nil {
			return err
		}
		if data >= src.rawBytes() {
			return nil
		}
		hole, err := src.nextHole(data)
		if err != nil {
			return err
		}
		page = max(page, data/PageBytes) // data may begin inside a page
		end := max(page+1, min(pagesOf(hole), pageCount))
		for ; page < end; page += min(maxPages, end-page) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(page, min(maxPages, end-page)); err != nil {
				return err
			}
		}
	}
	return nil
}

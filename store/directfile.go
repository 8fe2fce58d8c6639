package store

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// directAlignBytes is what O_DIRECT asks of offsets, lengths and memory on every
// filesystem.
const directAlignBytes = 4096

// directFile is a second descriptor of an image that reads past the page cache
// (O_DIRECT). What is read ahead of a guest is read once: copies of the packed
// bytes in the page cache would cost memory and the time to make them. Where the
// packed bytes are in the page cache already, or the filesystem has no O_DIRECT,
// it reads as usual.
type directFile struct {
	fd int // -1 without O_DIRECT
}

// openDirect opens the file of an image once more.
func openDirect(file *os.File) directFile {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return directFile{fd: -1}
	}
	return directFile{fd: fd}
}

func (d directFile) close() error {
	if d.fd < 0 {
		return nil
	}
	return unix.Close(d.fd)
}

// readAt reads lenBytes bytes of the file at packedOff into buf, which is aligned
// to pages and has two pages more room than that, and returns them. It returns
// what there is and io.EOF at the end of the file.
func (d directFile) readAt(file *os.File, buf []byte, packedOff int64, lenBytes int) ([]byte, error) {
	if d.fd < 0 || isCached(file, packedOff, lenBytes) {
		n, err := file.ReadAt(buf[:lenBytes], packedOff)
		return buf[:n], err
	}
	begin := packedOff &^ (directAlignBytes - 1)
	skip := int(packedOff - begin)
	want := (skip + lenBytes + directAlignBytes - 1) &^ (directAlignBytes - 1)
	n, err := preadFull(d.fd, buf[:want], begin)
	if errors.Is(err, unix.EINVAL) { // a filesystem that wants another alignment
		n, err = file.ReadAt(buf[:lenBytes], packedOff)
		return buf[:n], err
	}
	if n >= skip+lenBytes {
		return buf[skip : skip+lenBytes], nil
	}
	return buf[min(skip, n):n], err
}

// preadFull reads until buf is full or the file ends.
func preadFull(fd int, buf []byte, packedOff int64) (int, error) {
	n := 0
	for n < len(buf) {
		got, err := unix.Pread(fd, buf[n:], packedOff+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, err
		case got == 0:
			return n, io.EOF
		default:
			n += got
		}
		if n%directAlignBytes != 0 { // only the end of a file is not aligned
			return n, io.EOF
		}
	}
	return n, nil
}

// isCached reports whether most of a part of a file is in the page cache. Before
// Linux 6.5, which cannot tell, nothing is.
func isCached(file *os.File, packedOff int64, lenBytes int) bool {
	var stat unix.Cachestat_t
	part := unix.CachestatRange{Off: uint64(packedOff), Len: uint64(lenBytes)}
	if err := unix.Cachestat(uint(file.Fd()), &part, &stat, 0); err != nil {
		return false
	}
	return stat.Cache*directAlignBytes*2 > uint64(lenBytes)
}

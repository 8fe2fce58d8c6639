package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// openRequestBytes is what is requested of the end of an image before anything
	// else is read: trailer, page directory and frame checksums of an image of up
	// to 64 GiB.
	openRequestBytes = 128 << 10
	// openTailBytes is how much of the end is read with one access: the sections
	// that opening reads of an image of up to 8 GiB, each on a page of its own.
	openTailBytes = 32 << 10
)

// fileState names one state of one file.
type fileState struct {
	dev, ino     uint64
	sizeBytes    int64
	mtime, ctime syscall.Timespec
}

// imageFile is the file of an image that is being opened. What opening needs of it is
// read once: a chain may have hundreds of them.
type imageFile struct {
	*os.File
	path   string
	state  fileState
	header *Header
	// tail are the last bytes of the file.
	tail    []byte
	tailOff int64
	ends    *[]byte // has room for header and tail
	isCold  bool    // reading took as long as if it came from a disk
}

// endsBufs holds buffers (*[]byte) for what is read of a file that is being opened: new
// memory for each of a hundred layers would cost more than reading them.
var endsBufs = sync.Pool{New: func() any {
	b := make([]byte, headerBytes+openTailBytes)
	return &b
}}

// readImageFile reads the header and so many bytes of the end of a file, and checks
// header and trailer. The file stays open, whatever it returns.
func readImageFile(file *os.File, path string, tailBytes int64) (*imageFile, error) {
	f := &imageFile{File: file, path: path}
	err := f.stat()
	if err == nil {
		err = f.readEnds(tailBytes)
	}
	return f, inFile(path, err)
}

func (f *imageFile) stat() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return findingAt(ErrNotImage, wholeFile, "it is not a regular file")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the system does not say which file it is: %w", errors.ErrUnsupported)
	}
	f.state = fileState{dev: st.Dev, ino: st.Ino, sizeBytes: st.Size, mtime: st.Mtim, ctime: st.Ctim}
	return nil
}

func (f *imageFile) readEnds(tailBytes int64) error {
	if tailBytes > trailerBytes {
		// A hint: without it, the end would be read after the header only.
		_ = unix.Fadvise(int(f.Fd()), max(0, f.state.sizeBytes-openRequestBytes), 0, unix.FADV_WILLNEED)
	}
	began := time.Now()
	f.ends, _ = endsBufs.Get().(*[]byte)
	b := (*f.ends)[:headerBytes]
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if f.header, err = parseHeader(b[:n], f.state.sizeBytes); err != nil {
		return err
	}
	trailerOff := f.header.FileBytes - trailerBytes
	f.tailOff = max(trailerOff+trailerBytes-tailBytes, 0)
	f.tail = (*f.ends)[headerBytes:][:f.header.FileBytes-f.tailOff]
	if _, err := f.ReadAt(f.tail, f.tailOff); err != nil {
		return shortRead(err, trailerOff)
	}
	f.isCold = time.Since(began) > coldReadTime
	return checkTrailer(f.tail[trailerOff-f.tailOff:], f.header, b)
}

// readAt reads what lies in the end that was read from there.
func (f *imageFile) readAt(b []byte, packedOff int64) error {
	if packedOff >= f.tailOff && packedOff-f.tailOff <= int64(len(f.tail)-len(b)) {
		copy(b, f.tail[packedOff-f.tailOff:])
		return nil
	}
	if _, err := f.ReadAt(b, packedOff); err != nil {
		return shortRead(err, packedOff)
	}
	return nil
}

// forget gives the memory for what was read back. The rest stays.
func (f *imageFile) forget() {
	f.tail = nil
	endsBufs.Put(f.ends)
	f.ends = nil
}

// isOneOf reports whether the file is one of those, in the state that they have there.
func (f *imageFile) isOneOf(states []fileState) bool { return slices.Contains(states, f.state) }

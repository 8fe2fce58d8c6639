package prefetch

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// traceMode are the permissions of trace files. They hold no bytes of the guest,
// and who draws a working set is seldom who has recorded it.
const traceMode fs.FileMode = 0o644

// ReadFile reads a trace file. Errors name the file, and the offset of what is
// wrong with it.
func ReadFile(path string) (*Trace, error) {
	// a pipe with nobody at its other end must not keep us waiting
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, inFile(path, findingAt(wholeFile, "it is not a regular file"))
	}
	t, err := readTrace(f, info.Size())
	return t, inFile(path, err)
}

// readTrace reads a trace of fileBytes bytes. Only what has the header of a
// trace of that size is read to the end.
func readTrace(r io.Reader, fileBytes int64) (*Trace, error) {
	if limit := traceBytes(MaxTouches); fileBytes > limit {
		return nil, findingAt(wholeFile, "%d bytes, a trace has at most %d", fileBytes, limit)
	}
	header := make([]byte, headerBytes)
	n, err := readUpTo(r, header)
	if err != nil {
		return nil, err
	}
	t, err := parseHeader(header[:n], fileBytes)
	if err != nil {
		return nil, err
	}
	rest := make([]byte, fileBytes-headerBytes)
	n, err = readUpTo(r, rest)
	switch {
	case err != nil:
		return nil, err
	case n < len(rest):
		return nil, findingAt(headerBytes+int64(n), "truncated while it was read")
	}
	if err := t.parseTouches(rest); err != nil {
		return nil, err
	}
	return t, nil
}

// readUpTo fills b as far as there is something to read.
func readUpTo(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// WriteFile writes the trace to a file and replaces what is there: at once and
// durably, or not at all. The directory must exist.
func (t *Trace) WriteFile(path string) error { return t.publish(path, store.ReplaceFile) }

// CreateFile is WriteFile for a path where nothing may be yet: store.ErrExists.
func (t *Trace) CreateFile(path string) error { return t.publish(path, store.CreateFile) }

func (t *Trace) publish(path string, write func(string, fs.FileMode, []byte) error) error {
	b, err := t.Encode()
	if err != nil {
		return inFile(path, err)
	}
	return write(path, traceMode, b)
}

package api

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// lineFile is a file or named pipe that lines are written to, and never waited
// for: a reader that sleeps must not stop the machine. It is no os.File, whose
// Write waits when a pipe is full.
type lineFile struct {
	mu     sync.Mutex
	fd     int // -1 when closed
	missed uint64
}

// openLineFile opens path, and makes a file if there is none. A pipe is opened
// for reading too: there may be no reader yet.
func openLineFile(path string) (*lineFile, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_APPEND | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := unix.Open(path, flags, 0o644)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &lineFile{fd: fd}, nil
}

// writeLine writes the line or, when not all of it can be written now, counts
// it as missed. A line is shorter than what a pipe takes as a whole or not at
// all, or may be cut.
func (l *lineFile) writeLine(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return
	}
	if n, err := unix.Write(l.fd, line); err != nil || n < len(line) {
		l.missed++
	}
}

// takeMissed returns how many lines were missed since it was last asked.
func (l *lineFile) takeMissed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.missed
	l.missed = 0
	return n
}

func (l *lineFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return nil
	}
	err := unix.Close(l.fd)
	l.fd = -1
	if err != nil {
		return fmt.Errorf("closing a log: %w", err)
	}
	return nil
}

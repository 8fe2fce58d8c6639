package state

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the sections of the state file at path.
func Read(path string) ([]Section, error) {
	file, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	sections, err := Decode(file)
	if err != nil {
		return nil, inFile(err, path)
	}
	return sections, nil
}

// readBounded opens without waiting: path may be a FIFO.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read VM state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read VM state: %w", err)
	case !info.Mode().IsRegular():
		return nil, &FileError{Path: path, Off: wholeFile, Err: ErrNotRegular}
	case info.Size() > MaxFileBytes:
		return nil, &FileError{
			Path: path, Off: MaxFileBytes, Err: ErrDamaged,
			Detail: fmt.Sprintf("%d bytes, at most %d are possible", info.Size(), MaxFileBytes),
		}
	}
	file := make([]byte, info.Size())
	if _, err := io.ReadFull(f, file); err != nil {
		return nil, fmt.Errorf("read VM state %s: %w", path, err)
	}
	return file, nil
}

// inFile tells an error of this package which file it is about.
func inFile(err error, path string) error {
	if where, ok := errors.AsType[*FileError](err); ok {
		where.Path = path
	}
	return err
}

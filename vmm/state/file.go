package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Write makes a state file at path, which is replaced if it is a regular file.
// After a nil error the file is on the disk; after any other, path is as it was.
func Write(path string, sections []Section) error {
	file, err := Encode(sections)
	if err != nil {
		return inFile(err, path)
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return &FileError{Path: path, Off: wholeFile, Err: ErrNotRegular, Detail: "it is not replaced"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write VM state: %w", err)
	}
	return replace(path, file)
}

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

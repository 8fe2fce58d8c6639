package state

import (
	"errors"
	"fmt"
)

var (
	// ErrNotState is returned when a file does not begin like a state file.
	ErrNotState = errors.New("not a VM state file")
	// ErrVersion is returned for a state file of another version.
	ErrVersion = errors.New("VM state file of another version")
	// ErrArch is returned for the state of a machine of another architecture.
	ErrArch = errors.New("VM state of another architecture")
	// ErrDamaged is returned when a state file is truncated, changed or makes
	// no sense.
	ErrDamaged = errors.New("damaged VM state file")
	// ErrLimit is returned when sections cannot be encoded: too many, too
	// large, or two of the same kind and index.
	ErrLimit = errors.New("VM state does not fit its file")
	// ErrNotRegular is returned when a path names something that is no regular
	// file, and that is neither read nor replaced.
	ErrNotRegular = errors.New("not a regular file")
)

// FileError says where in which file something is wrong. Its class is one of the
// errors above.
type FileError struct {
	Path   string // empty if the bytes did not come from a file
	Off    int64  // of the part that is wrong, or wholeFile
	Err    error
	Detail string
}

// wholeFile is the Off of an error that has no place.
const wholeFile = -1

// Error names class, file, offset and detail.
func (e *FileError) Error() string {
	text := e.Err.Error()
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Off != wholeFile {
		text += fmt.Sprintf(" at offset %d", e.Off)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns the class.
func (e *FileError) Unwrap() error { return e.Err }

func fail(class error, off int, format string, args ...any) error {
	return &FileError{Off: int64(off), Err: class, Detail: fmt.Sprintf(format, args...)}
}

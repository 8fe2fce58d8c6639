package store

import (
	"errors"
	"fmt"
)

// Error classes. Every error of this package that is about an image or an
// input matches one of them with errors.Is; the message around it names the
// file, the offset and the finding.
var (
	// ErrNotImage is returned when a file does not begin with the magic of an
	// image: it is something else, or was never finished.
	ErrNotImage = errors.New("not a sabrefs image")
	// ErrVersion is returned when an image's format version is newer than
	// FormatVersion, or zero.
	ErrVersion = errors.New("image format version is not supported")
	// ErrFeature is returned when an image needs a feature that this build
	// does not know (an unknown bit in its incompatible flags).
	ErrFeature = errors.New("image needs a feature that is not supported")
	// ErrTruncated is returned when an image is shorter than it says it is.
	ErrTruncated = errors.New("image is truncated")
	// ErrCorrupt is returned when bytes of an image contradict a checksum, a
	// limit of the format or each other.
	ErrCorrupt = errors.New("image is corrupt")
	// ErrParent is returned when an image needs a parent that is missing or
	// is not the one it was packed against.
	ErrParent = errors.New("parent image is needed")
	// ErrLimit is returned when an input exceeds a limit of the format.
	ErrLimit = errors.New("beyond a limit of the image format")
	// ErrChanged is returned when an input changed while it was being packed.
	ErrChanged = errors.New("input changed while it was read")
	// ErrExists is returned when a target exists and replacing it was not
	// asked for.
	ErrExists = errors.New("target exists")
	// ErrBusy is returned when another process is writing the same target.
	ErrBusy = errors.New("target is being written by another process")
	// ErrOption is returned when an option has a value that makes no sense.
	ErrOption = errors.New("invalid option")
)

// FileError is a finding about one place in one file.
type FileError struct {
	Path string
	// PackedOff is the offset in the file, in bytes; negative if the finding
	// is about the file as a whole.
	PackedOff int64
	Detail    string
	Err       error // an error class of this package, or one of the system
}

// Error names the file, the offset where there is one, the finding and its class.
func (e *FileError) Error() string {
	where := e.Path
	if e.PackedOff >= 0 {
		where = fmt.Sprintf("%s: at offset %d", e.Path, e.PackedOff)
	}
	if e.Detail == "" {
		return fmt.Sprintf("%s: %v", where, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", where, e.Err, e.Detail)
}

// Unwrap returns the class.
func (e *FileError) Unwrap() error { return e.Err }

// wholeFile is the PackedOff of a finding that has no single place.
const wholeFile = -1

// finding is an error without its file: the pure parsers return it, and the
// code that knows the path turns it into a FileError.
type finding struct {
	class     error
	packedOff int64
	detail    string
}

func (f *finding) Error() string { return fmt.Sprintf("%v: %s", f.class, f.detail) }
func (f *finding) Unwrap() error { return f.class }

// in gives the finding its file.
func (f *finding) in(path string) error {
	return &FileError{Path: path, PackedOff: f.packedOff, Detail: f.detail, Err: f.class}
}

func corruptAt(packedOff int64, format string, args ...any) error {
	return &finding{class: ErrCorrupt, packedOff: packedOff, detail: fmt.Sprintf(format, args...)}
}

func findingAt(class error, packedOff int64, format string, args ...any) error {
	return &finding{class: class, packedOff: packedOff, detail: fmt.Sprintf(format, args...)}
}

// inFile names the file in an error: findings become FileErrors, errors that
// name a file already and anything else are wrapped as they are.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*finding](err); ok {
		return f.in(path)
	}
	if _, ok := errors.AsType[*FileError](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

package memfile

import "errors"

var (
	// ErrSize is returned when files that belong together differ in size, or
	// when a size is no whole number of pages.
	ErrSize = errors.New("memory files do not fit together")
	// ErrHoles is returned when a diff cannot be written because the filesystem
	// does not say which parts of a file are holes.
	ErrHoles = errors.New("the filesystem does not keep holes apart from data")
	// ErrIncomplete is returned when a memory file lacks pages: it is a diff that
	// was not merged with its base, or merged with the wrong one.
	ErrIncomplete = errors.New("memory file is an incomplete diff")
	// ErrTarget is returned when the name of a file to be written is taken by
	// something else than a file.
	ErrTarget = errors.New("target is not a regular file")
)

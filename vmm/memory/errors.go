package memory

import "errors"

var (
	// ErrSize is returned when a guest cannot have that much memory, or when a
	// file is not as large as the memory it is to be.
	ErrSize = errors.New("invalid memory size")
	// ErrUnmapped is returned when a guest physical address is not in memory.
	ErrUnmapped = errors.New("address outside of guest memory")
	// ErrFault is returned when guest memory could not be read from the file
	// behind it.
	ErrFault = errors.New("guest memory could not be read")
	// ErrClosed is returned when the memory was closed.
	ErrClosed = errors.New("guest memory is closed")
)

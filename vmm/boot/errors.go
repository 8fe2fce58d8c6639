package boot

import "errors"

var (
	// ErrNotKernel is returned when a file is no kernel that can be entered in
	// 64-bit mode: something else, truncated, too old, or contradicting itself.
	ErrNotKernel = errors.New("not a kernel that can be booted")
	// ErrDoesNotFit is returned when the guest's memory is too small for what
	// has to be in it, or its command line or number of CPUs too large.
	ErrDoesNotFit = errors.New("does not fit into the guest")
	// ErrNotFile is returned when a kernel or an initrd is a directory, a pipe, or
	// another thing whose bytes cannot be had at any offset.
	ErrNotFile = errors.New("not a regular file")
	// ErrOption is returned when options contradict each other.
	ErrOption = errors.New("invalid boot option")
)

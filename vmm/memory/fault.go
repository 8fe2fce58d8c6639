package memory

import (
	"fmt"
	"runtime/debug"
)

// Guard runs access, which may touch guest memory, and returns its error, or
// ErrFault if a page could not be read. It works for the calling goroutine
// only, not for those that access starts.
func Guard(access func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r) //nolint:forbidigo // a bug of ours that panicked, not a fault of the mapping
			}
			err = fmt.Errorf("%w (fault at %#x): the file behind it shrank or its disk failed", ErrFault, fault.Addr())
		}
	}()
	return access()
}

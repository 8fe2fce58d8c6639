package prefetch

import (
	"errors"
	"fmt"
)

// TraceError is a finding about one place in a trace file.
type TraceError struct {
	Path string // empty if the trace did not come from a file
	// TraceOff is the offset in the file, in bytes; negative if the finding is
	// about the file as a whole.
	TraceOff int64
	Detail   string
	Err      error // ErrTrace or ErrTraceVersion
}

// Error names the file and the offset where there are such, the class and the
// finding.
func (e *TraceError) Error() string {
	message := fmt.Sprintf("%v: %s", e.Err, e.Detail)
	if e.TraceOff >= 0 {
		message = fmt.Sprintf("at offset %d: %s", e.TraceOff, message)
	}
	if e.Path != "" {
		message = e.Path + ": " + message
	}
	return message
}

// Unwrap returns the class.
func (e *TraceError) Unwrap() error { return e.Err }

// wholeFile is the TraceOff of a finding that has no single place.
const wholeFile = -1

func findingAt(traceOff int64, format string, args ...any) error {
	return classAt(ErrTrace, traceOff, format, args...)
}

func classAt(class error, traceOff int64, format string, args ...any) error {
	return &TraceError{TraceOff: traceOff, Detail: fmt.Sprintf(format, args...), Err: class}
}

// inFile names the file in an error.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	if found, ok := errors.AsType[*TraceError](err); ok {
		named := *found
		named.Path = path
		return &named
	}
	return fmt.Errorf("%s: %w", path, err)
}

package fs

import (
	"context"
	"errors"
	"os"
	"syscall"

	"sabrefs/store"
)

// errStale is returned when a node is used whose file has been replaced. The
// kernel answers ESTALE by looking the path up again, so a caller that opens a
// path gets the new file and does not notice.
var errStale = errors.New("file was replaced")

// imageErrors are the classes of findings about an image's bytes.
var imageErrors = []error{store.ErrCorrupt, store.ErrTruncated, store.ErrVersion, store.ErrFeature,
	store.ErrParent, store.ErrLimit, store.ErrNotImage}

// errno turns an error into the number that the kernel gets and reports it.
// This is the only place that does either. op says what was attempted; rel is
// the path in the store.
func (t *tree) errno(op, rel string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	t.report(op, rel, err)
	return errnoOf(err)
}

// report logs, once for each finding, what an operator should know.
func (t *tree) report(op, rel string, err error) {
	if worthLogging(errnoOf(err)) && t.logged.first(op+"\x00"+err.Error()) {
		t.log.Error("file of the store cannot be used", "op", op, "file", t.dir.display(rel), "err", err)
	}
}

// logTrace says, once, why a trace is not used.
func (t *tree) logTrace(n *memNode, err error) {
	if t.logged.first("trace\x00" + err.Error()) {
		t.log.Error("trace of a working set is not used", "file", n.name(), "err", err)
	}
}

func errnoOf(err error) syscall.Errno {
	number, isSystem := errors.AsType[syscall.Errno](err)
	switch {
	case isAny(err, imageErrors): // before the system's errors: a finding may wrap one
		return syscall.EIO
	case errors.Is(err, errStale):
		return syscall.ESTALE
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return syscall.EINTR
	case errors.Is(err, os.ErrClosed):
		return syscall.EBADF
	case isSystem:
		return systemErrno(number)
	default:
		return syscall.EIO
	}
}

// systemErrno replaces what openat2 says of a path that became another between
// lookup and use.
func systemErrno(number syscall.Errno) syscall.Errno {
	switch number {
	case syscall.ELOOP, syscall.EXDEV, syscall.ENOTDIR:
		return syscall.ESTALE
	default:
		return number
	}
}

// worthLogging tells an operator's errors from a caller's.
func worthLogging(number syscall.Errno) bool {
	switch number {
	case syscall.ENOENT, syscall.ESTALE, syscall.EINTR, syscall.EBADF, syscall.ENXIO, syscall.EACCES,
		syscall.ENAMETOOLONG, syscall.ENODATA, syscall.ERANGE:
		return false
	default:
		return true
	}
}

func isAny(err error, classes []error) bool {
	for _, class := range classes {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

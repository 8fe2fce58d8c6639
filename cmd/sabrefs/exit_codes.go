package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"sabrefs/prefetch"
	"sabrefs/store"

	sabrefsfs "sabrefs/fs"
)

// Exit codes are an interface: scripts rely on them. Never renumber.
const (
	exitOK          = 0   // done
	exitFailure     = 1   // any other failure
	exitUsage       = 2   // wrong arguments or option values
	exitDamaged     = 3   // an image, a trace, a kernel or a snapshot is not one, is truncated or is corrupt
	exitUnsupported = 4   // an image, a trace or a snapshot is of another version or needs a feature that is missing here
	exitExists      = 5   // the target exists; --force replaces it
	exitBusy        = 6   // the target is being written, or the mount point or mount is in use
	exitNoSpace     = 7   // no space left for the target
	exitChanged     = 8   // the input changed while it was read
	exitParent      = 9   // a parent image is missing or is another one; a trace or a memory file does not belong to the rest
	exitNotFound    = 10  // a file or directory does not exist
	exitPermission  = 11  // the system refused access
	exitNotReady    = 12  // doctor: this machine lacks what mounting needs; vm: it has no KVM
	exitGuest       = 13  // vm: the guest crashed
	exitNeeded      = 14  // an image is not removed, because others need it
	exitInterrupted = 130 // SIGINT or SIGTERM
)

// exitCodesHelp is shown by `sabrefs --help` and in the manual.
const exitCodesHelp = `Exit codes:
  0    done
  1    any other failure
  2    wrong arguments or option values
  3    an image, a trace, a kernel or a snapshot is not one, is truncated or is corrupt
  4    an image, a trace or a snapshot is of another version, or needs what this build or processor lacks
  5    the target exists (--force replaces it)
  6    the target is being written, or the mount point or mount is in use
  7    no space left for the target
  8    the input changed while it was read
  9    a parent image is missing or is another one; a trace or a memory file does not belong to the rest
  10   a file or directory does not exist
  11   the system refused access
  12   doctor: this machine lacks what mounting needs; vm: it has no KVM
  13   vm: the guest crashed
  14   an image is not removed, because others need it (--force removes it)
  130  interrupted`

// usageError marks wrong arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitClasses are tried in order: the first error class that matches decides. Those of
// machines come first: that there is no KVM says more than that a file does not exist.
var exitClasses = slices.Concat(vmExitClasses, []exitClass{
	{context.Canceled, exitInterrupted},
	{store.ErrNeeded, exitNeeded},
	{store.ErrNotImage, exitDamaged},
	{store.ErrTruncated, exitDamaged},
	{store.ErrCorrupt, exitDamaged},
	{prefetch.ErrTraceVersion, exitUnsupported}, // which is an ErrTrace, too
	{prefetch.ErrTrace, exitDamaged},
	{store.ErrVersion, exitUnsupported},
	{store.ErrFeature, exitUnsupported},
	{store.ErrExists, exitExists},
	{store.ErrBusy, exitBusy},
	{store.ErrChanged, exitChanged},
	{store.ErrParent, exitParent},
	{prefetch.ErrOtherImage, exitParent},
	{store.ErrLimit, exitUsage},
	{store.ErrOption, exitUsage},
	{sabrefsfs.ErrMounted, exitBusy},
	{syscall.EBUSY, exitBusy},
	{syscall.ENOSPC, exitNoSpace},
	{syscall.EDQUOT, exitNoSpace},
	{errNotReady, exitNotReady},
	{fs.ErrNotExist, exitNotFound},
	{fs.ErrPermission, exitPermission},
	{sabrefsfs.ErrConfig, exitUsage},
	{sabrefsfs.ErrStore, exitUsage},
	{sabrefsfs.ErrMountPoint, exitUsage},
	{sabrefsfs.ErrNested, exitUsage},
	{sabrefsfs.ErrTraceDir, exitUsage},
})

// exitClass gives the errors of a class their exit code.
type exitClass struct {
	class error
	code  int
}

// exitCode is the only place that turns errors into exit codes.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if child, ok := errors.AsType[childError](err); ok {
		return child.Code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	for _, c := range exitClasses {
		if errors.Is(err, c.class) {
			return c.code
		}
	}
	return exitFailure
}

// errorLine is what an error looks like on standard error.
func errorLine(err error) string {
	// the library's words are about the program, not about its user
	return "sabrefs: " + strings.ReplaceAll(oneLine(err), context.Canceled.Error(), "interrupted")
}

// oneLine makes an error one line: joined errors come as several.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

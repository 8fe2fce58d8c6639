package main

import (
	"errors"
	"io/fs"
	"syscall"
)

// verdict is the answer of a check. What could not be found out is not missing.
type verdict string

const (
	verdictOK      verdict = "ok"
	verdictMissing verdict = "missing"
	verdictUnknown verdict = "unknown"
)

// check is one line of doctor.
type check struct {
	Name    string   `json:"name"`
	Verdict verdict  `json:"verdict"`
	Seen    string   `json:"seen"`
	Do      []string `json:"do"` // commands, or comments that begin with #

	required bool // to mount
}

func ok(name, seen string) check {
	return check{Name: name, Verdict: verdictOK, Seen: seen, Do: []string{}}
}

func missing(name, seen string, do ...string) check {
	return check{Name: name, Verdict: verdictMissing, Seen: seen, Do: append([]string{}, do...)}
}

func unknown(name, seen string) check {
	return check{Name: name, Verdict: verdictUnknown, Seen: seen, Do: []string{}}
}

// forMounting marks a check as one of those that decide about the exit code.
func (c check) forMounting() check {
	c.required = true
	return c
}

// cause is the system's own words for an error, without the name of the file.
func cause(err error) string {
	if errno, isErrno := errors.AsType[syscall.Errno](err); isErrno {
		return errno.Error()
	}
	return oneLine(err)
}

// isRefusal reports whether access was denied, by mode, by a container's rules
// for devices or by a filter of system calls.
func isRefusal(err error) bool { return errors.Is(err, fs.ErrPermission) }

package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/fs"
)

const (
	// daemonAnswerTimeout bounds the question who serves a mount: its daemon may
	// hang or be stopped.
	daemonAnswerTimeout = 2 * time.Second
	// daemonEndTimeout bounds the waiting for a daemon that has nothing to serve any
	// more: it writes traces and ends.
	daemonEndTimeout = 10 * time.Second
)

// daemonProcess is the daemon of a mount, by a descriptor that stays with this very
// process; nil if it is not known.
type daemonProcess struct{ pidFD int }

// daemonOf asks a mount for its daemon.
func daemonOf(point string) *daemonProcess {
	answer := make(chan fs.MountReport, 1)
	go func() {
		var r fs.MountReport
		if readAttribute(point, &r) == nil {
			answer <- r
		}
	}()
	select {
	case r := <-answer:
		here, err := os.Readlink(fs.PIDNamespacePath)
		if err != nil || here != r.PIDNamespace {
			return nil // its number means something else here
		}
		pidFD, err := unix.PidfdOpen(r.PID, 0)
		if err != nil {
			return nil
		}
		return &daemonProcess{pidFD}
	case <-time.After(daemonAnswerTimeout):
		return nil
	}
}

// awaitEnd waits until the process has ended, a while at most.
func (d *daemonProcess) awaitEnd() {
	if d == nil {
		return
	}
	deadline := time.Now().Add(daemonEndTimeout)
	for left := time.Until(deadline); left > 0; left = time.Until(deadline) {
		ended := []unix.PollFd{{Fd: int32(d.pidFD), Events: unix.POLLIN}}
		n, err := unix.Poll(ended, int(left.Milliseconds())+1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (d *daemonProcess) close() {
	if d != nil {
		_ = unix.Close(d.pidFD)
	}
}

//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab"
	"sabrefs/tests/lab/early"
)

// prepare makes of a bare kernel what tests expect of a Linux machine.
func prepare(plan lab.Plan) error {
	mounts := append(early.Kernel(),
		early.Mount{Source: "tmpfs", Target: "/dev/shm", Type: "tmpfs"},
		early.Mount{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Options: "size=80%,mode=1777"})
	if err := early.MountAll(mounts); err != nil {
		return err
	}
	if err := early.LoadModules(moduleParameters); err != nil {
		return err
	}
	// After /tmp, below which they may lie.
	if err := early.MountAll(plan.Mounts); err != nil {
		return err
	}
	return errors.Join(installShell(), linkStreams(), raiseLoopback())
}

// installShell makes a link for every tool of busybox.
func installShell() error {
	output, err := exec.Command("/bin/busybox", "--install", "-s", "/bin").CombinedOutput()
	if err != nil {
		return fmt.Errorf("install busybox: %w\n%s", err, output)
	}
	return nil
}

// linkStreams makes the names that udev would.
func linkStreams() error {
	return errors.Join(
		os.Symlink("/proc/self/fd", "/dev/fd"),
		os.Symlink("/proc/self/fd/0", "/dev/stdin"),
		os.Symlink("/proc/self/fd/1", "/dev/stdout"),
		os.Symlink("/proc/self/fd/2", "/dev/stderr"))
}

// raiseLoopback lets programs reach others on this machine by TCP.
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	return nil
}

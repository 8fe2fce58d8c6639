package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// faultsOfUsersOnly is UFFD_USER_MODE_ONLY of linux/userfaultfd.h.
	faultsOfUsersOnly = 1
	// userfaultfdNew is USERFAULTFD_IOC_NEW of linux/userfaultfd.h, since 6.1.
	userfaultfdNew = 0xaa00
)

// checkUserfaultfd makes a userfaultfd as a VMM does that fills guest memory by
// it. One that sees only faults of user mode is no use to it, for KVM touches
// guest memory in the kernel.
func checkUserfaultfd(m machine) check {
	const name = "userfaultfd"
	err := m.userfaultfd(0)
	switch {
	case err == nil:
		return ok(name, "the system call makes one for all faults")
	case errors.Is(err, syscall.ENOSYS):
		return missing(name, "the kernel has no userfaultfd", "# use a kernel with CONFIG_USERFAULTFD=y")
	case !isRefusal(err):
		return unknown(name, "the system call says: "+cause(err))
	}
	if m.deviceUserfaultfd() == nil {
		return ok(name, "/dev/userfaultfd makes one for all faults")
	}
	return missing(name, m.userfaultfdRefusal(), m.allowUserfaultfd()...)
}

func (m machine) userfaultfdRefusal() string {
	if m.userfaultfd(faultsOfUsersOnly) == nil {
		return "allowed for faults of user mode only, which is not enough for a VM"
	}
	return "refused: " + syscall.EPERM.Error()
}

// allowUserfaultfd tells the two ways that an administrator has. Where the
// system's setting allows it already, a filter of system calls refuses.
func (m machine) allowUserfaultfd() []string {
	setting, err := fs.ReadFile(m.files, "proc/sys/vm/unprivileged_userfaultfd")
	if err == nil && strings.TrimSpace(string(setting)) == "1" || m.euid == 0 {
		return []string{"# in a container: start it with --cap-add SYS_PTRACE and a seccomp profile that allows userfaultfd"}
	}
	return []string{
		"sudo setfacl -m u:$USER:rw /dev/userfaultfd",
		"# or, for everybody: sudo sysctl -w vm.unprivileged_userfaultfd=1",
	}
}

func userfaultfdBySyscall(flags int) error {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, uintptr(flags|unix.O_CLOEXEC|unix.O_NONBLOCK), 0, 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func userfaultfdByDevice() error {
	dev, err := openDevice("/dev/userfaultfd")
	if err != nil {
		return err
	}
	fd, err := dev.ioctl(userfaultfdNew)
	if err == nil {
		err = unix.Close(fd)
	}
	return errors.Join(err, dev.Close())
}

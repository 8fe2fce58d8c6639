package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// machine is all that doctor looks at, so that tests can put another in its
// place.
type machine struct {
	files fs.FS // the tree at /
	euid  int
	arch  string // as GOARCH
	self  string // the path of this program

	findProgram func(name string) (path string, err error)
	openDevice  func(path string) (device, error) // for reading and writing
	mayWrite    func(path string) error
	// Both make a userfaultfd and close it.
	userfaultfd       func(flags int) error
	deviceUserfaultfd func() error
	memlock           func() (softBytes, hardBytes uint64, err error)
	release           func() (string, error) // of the kernel
	accelerator       func() iaa.Report
}

// device is an open device node.
type device interface {
	// ioctl makes a request without an argument.
	ioctl(request uint) (int, error)
	io.Closer
}

// thisMachine is the one that the program runs on.
func thisMachine() machine {
	self, err := os.Executable()
	if err != nil {
		self = "sabrefs"
	}
	return machine{
		files: os.DirFS("/"), euid: os.Geteuid(), arch: runtime.GOARCH, self: self,
		findProgram: findProgram, openDevice: openDevice, mayWrite: mayWrite,
		userfaultfd: userfaultfdBySyscall, deviceUserfaultfd: userfaultfdByDevice, memlock: lockedMemoryLimit,
		release:     kernelRelease,
		accelerator: findAccelerators,
	}
}

// findProgram looks where go-fuse looks for the programs that it runs.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/bin/" + name)
}

type deviceFile struct{ *os.File }

func openDevice(path string) (device, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return deviceFile{file}, nil
}

func (d deviceFile) ioctl(request uint) (int, error) {
	return unix.IoctlRetInt(int(d.Fd()), request)
}

// mayWrite asks the kernel, with the rights that opening would have.
func mayWrite(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
}

func lockedMemoryLimit() (softBytes, hardBytes uint64, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return 0, 0, err
	}
	return limit.Cur, limit.Max, nil
}

func kernelRelease() (string, error) {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(names.Release[:]), nil
}

// field returns the value of a line "NAME:<blank>VALUE" of a file, for instance
// of /proc/self/status; if there are several, of the first.
func (m machine) field(path, name string) (string, error) {
	content, err := fs.ReadFile(m.files, path)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("/%s has no line %q: %w", path, name, fs.ErrNotExist)
}

// asRoot is a command that only root may run, as this user types it.
func (m machine) asRoot(command string) string {
	if m.euid == 0 {
		return command
	}
	return "sudo " + command
}

// hasCapability reports whether this process has a capability, in whatever user
// namespace it is. Source: Linux, ns_capable().
func (m machine) hasCapability(bit int) (bool, error) {
	text, err := m.field("proc/self/status", "CapEff")
	if err != nil {
		return false, err
	}
	const hexadecimal, wordBits = 16, 64
	effective, err := strconv.ParseUint(text, hexadecimal, wordBits)
	if err != nil {
		return false, fmt.Errorf("capabilities of this process: %w", err)
	}
	return effective>>bit&1 == 1, nil
}

// hasHostCapability is for those that are worth nothing outside the first user
// namespace. Source: Linux, capable().
func (m machine) hasHostCapability(bit int) (bool, error) {
	has, err := m.hasCapability(bit)
	if !has || err != nil {
		return false, err
	}
	users, err := fs.ReadFile(m.files, "proc/self/uid_map")
	if err != nil {
		return false, err
	}
	const everybodyIsHimself = "0 0 4294967295"
	return strings.Join(strings.Fields(string(users)), " ") == everybodyIsHimself, nil
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkFUSE returns what mounting needs, then what makes it better. The device
// comes first: opening it loads the module.
func checkFUSE(m machine) []check {
	return []check{
		checkFUSEDevice(m).forMounting(), checkFUSEModule(m).forMounting(), checkMountRight(m).forMounting(),
		checkAllowOther(m), checkRequestSize(m),
	}
}

func checkFUSEDevice(m machine) check {
	const name, path = "fuse-device", "/dev/fuse"
	dev, err := m.openDevice(path)
	switch {
	case err == nil:
		if err := dev.Close(); err != nil {
			return unknown(name, fmt.Sprintf("%s opens, but does not close: %s", path, cause(err)))
		}
		return ok(name, path+" opens for reading and writing")
	case errors.Is(err, fs.ErrNotExist):
		return missing(name, "there is no "+path, m.asRoot("modprobe fuse"), "# in a container: start it with --device /dev/fuse")
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return missing(name, path+" is there, its driver is not", m.asRoot("modprobe fuse"))
	case isRefusal(err) && m.euid == 0:
		return missing(name, fmt.Sprintf("%s: %s", path, cause(err)), "# in a container: start it with --device /dev/fuse")
	case isRefusal(err):
		return missing(name, fmt.Sprintf("%s: %s", path, cause(err)), m.asRoot("chmod 0666 /dev/fuse"))
	default:
		return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
	}
}

func checkFUSEModule(m machine) check {
	const name, path = "fuse-module", "/proc/filesystems"
	content, err := fs.ReadFile(m.files, strings.TrimPrefix(path, "/"))
	if err != nil {
		return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
	}
	if !slices.Contains(strings.Fields(string(content)), "fuse") {
		return missing(name, "the kernel does not know the filesystem (yet)", m.asRoot("modprobe fuse"))
	}
	return ok(name, "the kernel knows the filesystem")
}

// checkMountRight: root mounts directly, everybody else through fusermount3.
func checkMountRight(m machine) check {
	const name = "fuse-mount"
	if m.euid != 0 {
		return checkFusermount(m, name)
	}
	has, err := m.hasCapability(unix.CAP_SYS_ADMIN)
	switch {
	case err != nil:
		return unknown(name, "capabilities: "+cause(err))
	case !has:
		return missing(name, "root without CAP_SYS_ADMIN may not mount",
			"# in a container: start it with --cap-add SYS_ADMIN --device /dev/fuse")
	default:
		return ok(name, "root with CAP_SYS_ADMIN mounts directly")
	}
}

func checkFusermount(m machine, name string) check {
	const program = "fusermount3"
	path, err := m.findProgram(program)
	if err != nil {
		return missing(name, "there is no fusermount3, by which users mount", m.asRoot("apt-get install fuse3"), "# or the package of your distribution")
	}
	info, err := fs.Stat(m.files, strings.TrimPrefix(path, "/"))
	if err != nil {
		return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
	}
	if info.Mode()&fs.ModeSetuid == 0 {
		return missing(name, path+" is not setuid root", m.asRoot("chown root "+path), m.asRoot("chmod 4755 "+path))
	}
	if value, err := m.field("proc/self/status", "NoNewPrivs"); err == nil && value != "0" {
		return missing(name, path+" is there, but this process may gain no privileges",
			"# in a systemd unit: NoNewPrivileges=no", "# in a container: start it without --security-opt no-new-privileges")
	}
	return ok(name, "users mount through "+path)
}

// checkAllowOther reads the configuration as fusermount3 does: the word stands
// alone on its line.
func checkAllowOther(m machine) check {
	const name, path = "fuse-allow-other", "/etc/fuse.conf"
	if m.euid == 0 {
		return ok(name, "root may always use mount --allow-other")
	}
	fix := []string{"echo user_allow_other | sudo tee -a " + path}
	content, err := fs.ReadFile(m.files, strings.TrimPrefix(path, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return missing(name, "no "+path+"; only mount --allow-other needs it", fix...)
	}
	if err != nil {
		return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "user_allow_other" {
			return ok(name, "user_allow_other is set in "+path)
		}
	}
	return missing(name, "no user_allow_other in "+path+"; only mount --allow-other needs it", fix...)
}

// wantedRequestPages is what the largest request of a mount takes: 1 MiB.
const wantedRequestPages = 256

// checkRequestSize: the kernel has a limit that can be set since 6.13, a fixed
// one of 256 pages since 4.20, and 32 pages before.
func checkRequestSize(m machine) check {
	const name, path = "fuse-request-size", "/proc/sys/fs/fuse/max_pages_limit"
	const fixedSinceMajor, fixedSinceMinor = 4, 20
	content, err := fs.ReadFile(m.files, strings.TrimPrefix(path, "/"))
	if err == nil {
		pages, err := strconv.Atoi(strings.TrimSpace(string(content)))
		switch {
		case err != nil:
			return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
		case pages < wantedRequestPages:
			return missing(name, fmt.Sprintf("requests of at most %d pages; sequential reads are slower", pages),
				m.asRoot(fmt.Sprintf("sysctl -w fs.fuse.max_pages_limit=%d", wantedRequestPages)))
		default:
			return ok(name, fmt.Sprintf("requests of up to %d pages, %d are used", pages, wantedRequestPages))
		}
	}
	version, err := m.kernelVersion()
	switch {
	case err != nil:
		return unknown(name, "kernel version: "+cause(err))
	case version.before(fixedSinceMajor, fixedSinceMinor):
		return missing(name, fmt.Sprintf("Linux %s has requests of 32 pages; sequential reads are slower", version.release),
			"# use a kernel of version 4.20 or later")
	default:
		return ok(name, fmt.Sprintf("requests of %d pages, the limit of this kernel", wantedRequestPages))
	}
}

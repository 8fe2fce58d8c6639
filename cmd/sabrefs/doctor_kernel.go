package main

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// kernelVersion is the number of a Linux kernel.
type kernelVersion struct {
	major, minor int
	release      string // all of it, as uname -r prints it
}

func (v kernelVersion) before(major, minor int) bool {
	return v.major < major || v.major == major && v.minor < minor
}

func (m machine) kernelVersion() (kernelVersion, error) {
	release, err := m.release()
	if err != nil {
		return kernelVersion{}, err
	}
	v := kernelVersion{release: release}
	if _, err := fmt.Sscanf(release, "%d.%d", &v.major, &v.minor); err != nil {
		return v, fmt.Errorf("release %q: %w", release, err)
	}
	return v, nil
}

// checkKernel says what the kernel is, for a report of a bug. The oldest that
// go-fuse asks for is 4.20's protocol with its requests of 1 MiB; queues for
// users came into working order with 5.18.
func checkKernel(m machine) check {
	const name = "kernel"
	const oldestMajor, oldestMinor, queuesMajor, queuesMinor = 4, 20, 5, 18
	version, err := m.kernelVersion()
	switch {
	case err != nil:
		return unknown(name, cause(err))
	case version.before(oldestMajor, oldestMinor):
		return missing(name, fmt.Sprintf("Linux %s, %s; sabrefs is tested with newer ones", version.release, m.arch),
			"# use a kernel of version 5.18 or later")
	case version.before(queuesMajor, queuesMinor):
		return ok(name, fmt.Sprintf("Linux %s, %s; an accelerator would need 5.18", version.release, m.arch))
	default:
		return ok(name, fmt.Sprintf("Linux %s, %s", version.release, m.arch))
	}
}

// checkReadAhead asks whether this user may write what the daemon writes after
// mounting, see fs/readahead.go. The file of any device tells: all have the same
// owner and mode.
func checkReadAhead(m machine) check {
	const name, pattern = "read-ahead", "sys/class/bdi/*/read_ahead_kb"
	found, err := fs.Glob(m.files, pattern)
	if err != nil || len(found) == 0 {
		return unknown(name, "there is no "+path.Join("/", pattern))
	}
	file := path.Join("/", found[0])
	if err := m.mayWrite(file); err != nil {
		return missing(name, fmt.Sprintf("%s: %s; sequential reads are slower", file, cause(err)),
			"# mount as root, or after each mount:",
			`echo 1024 | sudo tee /sys/class/bdi/$(mountpoint -d MOUNTPOINT)/read_ahead_kb`)
	}
	return ok(name, "mount may raise the read-ahead of its device")
}

// flagsOfCPU returns the features of the first processor; they are called flags
// on x86 only.
func (m machine) flagsOfCPU() ([]string, error) {
	line, err := m.field("proc/cpuinfo", "flags")
	if err != nil {
		return nil, err
	}
	return strings.Fields(line), nil
}

// kibText is a number of bytes as `ulimit -l` takes it.
func kibText(lenBytes uint64) string {
	const kib = 1024
	return strconv.FormatUint(lenBytes/kib, 10)
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

const (
	// kvmGetAPIVersion is KVM_GET_API_VERSION of linux/kvm.h.
	kvmGetAPIVersion = 0xae00
	// kvmAPIVersion is the only one there has ever been since 2.6.22.
	kvmAPIVersion = 12
)

// checkKVM is for the launcher and for VMMs, mounting does without it.
func checkKVM(m machine) []check {
	return []check{checkKVMDevice(m), checkHardwareVirtualization(m)}
}

func checkKVMDevice(m machine) check {
	const name, path = "kvm", "/dev/kvm"
	dev, err := m.openDevice(path)
	switch {
	case err == nil:
		return checkKVMVersion(name, dev)
	case errors.Is(err, fs.ErrNotExist):
		return missing(name, "there is no "+path+"; VMMs can only emulate", m.loadKVM(), "# in a container: start it with --device /dev/kvm")
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return missing(name, path+" is there, its driver is not", m.loadKVM())
	case isRefusal(err) && m.euid == 0:
		return missing(name, fmt.Sprintf("%s: %s", path, cause(err)), "# in a container: start it with --device /dev/kvm")
	case isRefusal(err):
		return missing(name, fmt.Sprintf("%s: %s", path, cause(err)), m.asRoot("setfacl -m u:$USER:rw "+path),
			"# lasting: "+m.asRoot("usermod -a -G kvm $USER")+", then log in again")
	default:
		return unknown(name, fmt.Sprintf("%s: %s", path, cause(err)))
	}
}

func checkKVMVersion(name string, dev device) check {
	version, err := dev.ioctl(kvmGetAPIVersion)
	if err := errors.Join(err, dev.Close()); err != nil {
		return unknown(name, "/dev/kvm does not tell its version: "+cause(err))
	}
	if version != kvmAPIVersion {
		return missing(name, fmt.Sprintf("/dev/kvm has API version %d, VMMs expect %d", version, kvmAPIVersion),
			"# use another kernel")
	}
	return ok(name, fmt.Sprintf("/dev/kvm opens, API version %d", version))
}

// loadKVM is the command that loads the module for this processor.
func (m machine) loadKVM() string {
	flags, err := m.flagsOfCPU()
	switch {
	case err == nil && slices.Contains(flags, "vmx"):
		return m.asRoot("modprobe kvm_intel")
	case err == nil && slices.Contains(flags, "svm"):
		return m.asRoot("modprobe kvm_amd")
	default:
		return m.asRoot("modprobe kvm")
	}
}

// checkHardwareVirtualization: where the processor has none, /dev/kvm may work
// all the same, by para-virtualization or by emulation; that is slow.
func checkHardwareVirtualization(m machine) check {
	const name = "hardware-virtualization"
	if m.arch != "amd64" && m.arch != "386" {
		return unknown(name, "flags of this kind of processor do not tell")
	}
	flags, err := m.flagsOfCPU()
	if err != nil {
		return unknown(name, "/proc/cpuinfo: "+cause(err))
	}
	for _, flag := range []string{"vmx", "svm"} {
		if slices.Contains(flags, flag) {
			return ok(name, "the processor has "+flag)
		}
	}
	seen := "the processor has neither vmx nor svm"
	if modules, err := fs.Glob(m.files, "sys/module/kvm_*"); err == nil && len(modules) > 0 {
		seen += " (loaded: " + strings.TrimPrefix(modules[0], "sys/module/") + ")"
	}
	seen += "; guests may run slowly, if at all"
	if slices.Contains(flags, "hypervisor") {
		return missing(name, seen, "# this machine is a VM: on its host, load kvm_intel or kvm_amd with nested=1 and give the VM the CPU model host")
	}
	return missing(name, seen, "# turn on virtualization (VT-x or SVM) in the firmware")
}

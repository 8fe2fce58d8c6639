package qemu

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	qemuProgram = "qemu-system-x86_64"
	// AcceleratorVariable names the environment variable that chooses QEMU's
	// accelerator for new snapshots. That /dev/kvm exists does not mean that
	// Linux boots in it, so nothing but the user's word turns KVM on.
	AcceleratorVariable = "SABREFS_QEMU_ACCEL"
)

// NewMachine is the machine of new snapshots. The machine type carries a
// version, so that a newer QEMU still restores an older snapshot.
func NewMachine() Config {
	accelerator := os.Getenv(AcceleratorVariable)
	if accelerator == "" {
		accelerator = "tcg"
	}
	return Config{
		Machine:     "pc-q35-7.2",
		CPU:         "qemu64",
		CPUCount:    1,
		MemoryBytes: 512 << 20,
		Accelerator: accelerator,
	}
}

// memory says how a guest's RAM is mapped.
type memory struct {
	path string
	// shared lets the file follow the guest's writes. Clones of a snapshot must not
	// have it: their writes stay private to the process.
	shared bool
}

// qemuArguments are those that must be the same for a snapshot and its restore.
// The guest's requests come over the first serial port, descriptor 3; QMP is
// descriptor 4; the kernel's console is the second serial port.
func qemuArguments(config Config, memory memory, console string) []string {
	share := "off"
	if memory.shared {
		share = "on"
	}
	ram := fmt.Sprintf("memory-backend-file,id=ram,size=%d,mem-path=%s,share=%s",
		config.MemoryBytes, optionValue(memory.path), share)
	return append(baseArguments(config, console), "-object", ram)
}

// baseArguments leave out where the RAM comes from: the object "ram".
func baseArguments(config Config, console string) []string {
	return []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-S",
		"-accel", config.Accelerator, "-cpu", config.CPU, "-smp", strconv.Itoa(config.CPUCount),
		"-machine", config.Machine + ",memory-backend=ram",
		"-m", strconv.FormatInt(config.MemoryBytes>>20, 10) + "M",
		"-chardev", "socket,id=requests,fd=3", "-serial", "chardev:requests",
		"-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor,mode=control",
		"-serial", console,
	}
}

// optionValue protects a path in a QEMU option: there a comma ends a value.
func optionValue(path string) string {
	return strings.ReplaceAll(path, ",", ",,")
}

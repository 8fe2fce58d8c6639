package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab/early"
)

// qemuProgram emulates the laboratory.
const qemuProgram = "qemu-system-x86_64"

// kernelCommandLine: a ramfs has no size limit below that of the RAM. A panic
// ends QEMU (-no-reboot) and so the run. The emulated TSC is steady, which the
// kernel would doubt when the host is busy.
const kernelCommandLine = "console=ttyS0 quiet panic=-1 rootfstype=ramfs tsc=reliable random.trust_cpu=on"

// Machine is the laboratory as hardware.
type Machine struct {
	KernelPath, InitramfsPath string
	Mounts                    []early.Mount // shares, served by QEMU
	MemoryMiB                 int
	// Console gets what the machine says, Keys (or nil) are typed there.
	Console io.Writer
	Keys    io.Reader
}

// share is a directory of the host at the same path inside.
func share(tag, path string, readOnly bool) early.Mount {
	m := early.Mount{
		Source: tag, Target: path, Type: "9p",
		Options: "trans=virtio,version=9p2000.L,msize=512000",
	}
	if readOnly {
		// What cannot change may be kept: binaries are mapped page by page.
		m.Flags, m.Options = unix.MS_RDONLY, m.Options+",cache=loose"
	}
	return m
}

// Run runs the machine until it turns itself off, or ctx ends.
//
// QEMU ends with the thread that started it, so that a killed caller leaves no
// emulator behind. The calling goroutine must be locked to its thread for that.
func (m Machine) Run(ctx context.Context) error {
	command := exec.CommandContext(ctx, qemuProgram, m.arguments()...)
	command.Stdin, command.Stdout = m.Keys, m.Console
	var problems strings.Builder
	command.Stderr = &problems
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := command.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the laboratory was stopped: %w", context.Cause(ctx))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", qemuProgram, err), errors.New(problems.String()))
	}
	return nil
}

func (m Machine) arguments() []string {
	arguments := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,+svm", "-smp", "2",
		"-m", strconv.Itoa(m.MemoryMiB) + "M",
		"-kernel", m.KernelPath, "-initrd", m.InitramfsPath, "-append", kernelCommandLine,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-device", "virtio-rng-pci",
	}
	for _, mount := range m.Mounts {
		option := fmt.Sprintf("local,path=%s,mount_tag=%s,security_model=none,multidevs=remap",
			optionValue(mount.Target), mount.Source)
		if mount.Flags&unix.MS_RDONLY != 0 {
			option += ",readonly=on"
		}
		arguments = append(arguments, "-virtfs", option)
	}
	return arguments
}

// optionValue protects a path in a QEMU option: there a comma ends a value.
func optionValue(path string) string { return strings.ReplaceAll(path, ",", ",,") }

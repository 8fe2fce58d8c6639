package qemu

import (
	"context"
	"fmt"
	"os"
	"time"
)

// bootTimeout bounds the boot and the server's start, 20 s under TCG on a 2024
// processor; a guest that hangs must not hang its caller.
const bootTimeout = 10 * time.Minute

// BootOptions say what a new guest starts from.
type BootOptions struct {
	Machine       Config
	MemPath       string // becomes the guest's RAM and follows its writes
	KernelPath    string
	InitramfsPath string
	CommandLine   string
	ConsolePath   string // what the kernel says goes to this file
}

// Boot starts a new guest and returns once its program has written READY to the
// first serial port. The VM ends with ctx.
func Boot(ctx context.Context, options BootOptions) (*VM, error) {
	arguments := append(
		qemuArguments(options.Machine, memory{path: options.MemPath, shared: true}, "file:"+options.ConsolePath),
		"-kernel", options.KernelPath,
		"-initrd", options.InitramfsPath,
		"-append", options.CommandLine)
	vm, err := start(ctx, arguments)
	if err != nil {
		return nil, err
	}
	if err := vm.waitReady(ctx); err != nil {
		err = fmt.Errorf("boot the guest: %w; its console says: %s", err, tailOf(options.ConsolePath))
		return nil, vm.abandon(err)
	}
	return vm, nil
}

func (vm *VM) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := vm.Continue(ctx); err != nil {
		return err
	}
	defer interruptOnDone(ctx, vm.serial)()
	line, err := vm.readLine(ctx)
	if err == nil && line != "READY" {
		err = fmt.Errorf("the guest says %q in place of READY", line)
	}
	return err
}

// tailOf is the end of a log for an error message, or why there is none.
func tailOf(path string) string {
	const shownBytes = 2000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-shownBytes):])
}

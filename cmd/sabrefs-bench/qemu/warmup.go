package qemu

import (
	"context"
	"errors"
	"fmt"
)

// WarmUp starts the machine with RAM of its own, without a guest, and ends it by
// the monitor: the program, its libraries and its ROMs are then in the page cache.
func WarmUp(ctx context.Context, machine Config) error {
	arguments := append(baseArguments(machine, "null"),
		"-object", fmt.Sprintf("memory-backend-ram,id=ram,size=%d", machine.MemoryBytes))
	vm, err := start(ctx, arguments)
	if err != nil {
		return err
	}
	// QEMU may close the connection before or after it has answered; that it ends
	// is what is waited for.
	if _, err := vm.monitor.Execute(ctx, "quit", nil); err != nil && errors.Is(err, ErrMonitor) {
		return vm.abandon(err)
	}
	select {
	case <-vm.exited:
		return vm.Close()
	case <-ctx.Done():
		return vm.abandon(context.Cause(ctx))
	}
}

//go:build linux && amd64

package main

import (
	"errors"
	"fmt"

	"sabrefs/vmm/kvm"
)

// heldMachine is a virtual machine that never runs. While there is none, KVM patches
// its hooks out of the kernel's code, the scheduler's included, and back into it with
// the next machine; the same goes for local APICs that are off, as that of a new vCPU is.
// Code that is patched has a breakpoint for a moment, and QEMU (7.2, with a thread for
// each processor) may go on to run the breakpoint that it has translated when it is gone
// from memory: the kernel then takes exc_int3 over and over, in __schedule for one, and
// the laboratory hangs. With a machine that is there all the time, nothing is patched
// while tests run.
type heldMachine struct {
	system *kvm.System
	vm     *kvm.VM
}

func holdMachine() (*heldMachine, error) {
	system, err := kvm.Open()
	if err != nil {
		return nil, fmt.Errorf("holding a machine: %w", err)
	}
	vm, err := system.CreateVM()
	if err != nil {
		return nil, errors.Join(err, system.Close())
	}
	h := &heldMachine{system, vm}
	if err := vm.CreateIRQChip(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if _, err := vm.CreateVCPU(0); err != nil { // ends with the VM
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *heldMachine) close() error { return errors.Join(h.vm.Close(), h.system.Close()) }

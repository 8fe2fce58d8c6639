//go:build linux && amd64

package vmm

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memory"
)

// serve is the goroutine of one vCPU: it owns a thread until the machine ends.
func (m *Machine) serve(cpu *kvm.VCPU) {
	defer m.threads.Done()
	// The kernel keeps what it knows about a vCPU with the thread that runs it,
	// and kicks are signals to that thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for m.gate.enter() {
		m.watch.mark(&m.watch.firstInstruction)
		err := memory.Guard(func() error { return m.runUntilKicked(cpu) })
		m.gate.leave()
		if err != nil {
			m.end(fmt.Errorf("vCPU %d: %w", cpu.ID(), err))
		}
	}
}

// runUntilKicked runs guest code and answers its exits. When it returns nil no
// instruction is half done.
func (m *Machine) runUntilKicked(cpu *kvm.VCPU) error {
	for {
		exit, err := cpu.Run()
		switch {
		case errors.Is(err, unix.EFAULT):
			return fmt.Errorf("%w: %w", ErrMemoryFault, err)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrInternal, err)
		case exit.Reason == kvm.Interrupted:
			return nil
		}
		if err := m.answer(cpu, exit); err != nil {
			return err
		}
	}
}

// answer does what the guest wants from the world.
func (m *Machine) answer(cpu *kvm.VCPU, exit kvm.Exit) error {
	switch exit.Reason {
	case kvm.IO:
		m.devices.port(exit)
		return nil
	case kvm.MMIO:
		return m.answerMMIO(cpu, exit)
	case kvm.Shutdown:
		return ErrTripleFault
	default:
		return fmt.Errorf("%w: %v%s", ErrInternal, exit, at(cpu))
	}
}

func (m *Machine) answerMMIO(cpu *kvm.VCPU, exit kvm.Exit) error {
	if exit.Write {
		if !m.devices.mmio.Write(exit.GPA, exit.Data) {
			return fmt.Errorf("%w: %d bytes at %#x%s", ErrUnmapped, len(exit.Data), exit.GPA, at(cpu))
		}
		return nil
	}
	if !m.devices.mmio.Read(exit.GPA, exit.Data) {
		allOnes(exit.Data)
		m.unmappedReads.note(m.log, exit.GPA)
	}
	return nil
}

// at tells people where the guest is.
func at(cpu *kvm.VCPU) string {
	regs, err := cpu.Regs()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (instruction at %#x)", regs.RIP)
}

//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VCPU is one virtual processor. It belongs to one goroutine, except for Kick.
type VCPU struct {
	id      int
	fd      int
	vm      *VM
	page    []byte // shared with the kernel, begins with a runPage
	process int
	thread  atomic.Int32 // that is in Run, or 0

	// unfinished: the kernel waits for the next Run to finish the instruction
	// of the last exit.
	unfinished bool
}

const runPageBytes = int(unsafe.Sizeof(runPage{}))

// ID is the number that the vCPU was created with.
func (c *VCPU) ID() int { return c.id }

func (c *VCPU) run() *runPage {
	return (*runPage)(unsafe.Pointer(&c.page[0])) //nolint:gosec // G103: the kernel's structure, in a mapping of at least its size
}

// Run runs the guest until its next exit. Call it from a goroutine that has
// locked its thread. The exit and its data are valid until the next call.
func (c *VCPU) Run() (Exit, error) {
	c.thread.Store(int32(unix.Gettid()))
	defer c.thread.Store(0)
	c.unfinished = false
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), runGuest, 0)
		switch {
		case errno == 0:
			return c.exit()
		case errno == unix.EINTR && c.takeKick():
			return Exit{Reason: Interrupted}, nil
		case errno == unix.EINTR, errno == unix.EAGAIN:
			// A signal of Go's runtime; or a vCPU that was just started by
			// another one.
		default:
			return Exit{}, fmt.Errorf("kvm: run vCPU %d: %w", c.id, errno)
		}
	}
}

// Kick makes the Run that is running, or else the next one, return Interrupted.
// Any goroutine may call it, at any time before the machine is closed.
func (c *VCPU) Kick() error {
	c.run().request.Store(immediateExit)
	thread := c.thread.Load()
	if thread == 0 {
		return nil
	}
	err := unix.Tgkill(c.process, int(thread), unix.SIGURG)
	if err != nil && !errors.Is(err, unix.ESRCH) { // the thread has ended, and Run before it
		return fmt.Errorf("kvm: kick vCPU %d: %w", c.id, err)
	}
	return nil
}

func (c *VCPU) takeKick() bool {
	return c.run().request.Swap(0) != 0
}

// Regs returns the general registers.
func (c *VCPU) Regs() (Regs, error) {
	var r Regs
	err := transfer(c.fd, getRegs, &r, c.doing("get registers"))
	return r, err
}

// SetRegs sets the general registers.
func (c *VCPU) SetRegs(r Regs) error {
	return transfer(c.fd, setRegs, &r, c.doing("set registers"))
}

// Sregs returns segments, control registers and EFER.
func (c *VCPU) Sregs() (Sregs, error) {
	var s Sregs
	err := transfer(c.fd, getSregs, &s, c.doing("get special registers"))
	return s, err
}

// SetSregs sets segments, control registers and EFER.
func (c *VCPU) SetSregs(s Sregs) error {
	return transfer(c.fd, setSregs, &s, c.doing("set special registers"))
}

// CPUID returns what the guest is told about its processor.
func (c *VCPU) CPUID() ([]CPUIDEntry, error) {
	list := cpuidList{count: maxCPUIDEntries}
	if err := transfer(c.fd, getCPUID2, &list, c.doing("get CPUID")); err != nil {
		return nil, err
	}
	return withoutRest(list.get()), nil
}

// withoutRest cuts a list of CPUID where the kernel stopped writing. Some kernels,
// Linux 6.1 for one, do not say how many entries that were; the rest is zeros, and
// function 0 comes only once.
func withoutRest(entries []CPUIDEntry) []CPUIDEntry {
	for i, e := range entries {
		if i > 0 && e == (CPUIDEntry{}) {
			return entries[:i]
		}
	}
	return entries
}

// SetCPUID sets it. It must come before the first Run and before MSRs, some of
// which exist only with the feature that they belong to.
func (c *VCPU) SetCPUID(entries []CPUIDEntry) error {
	var list cpuidList
	if err := list.set(entries); err != nil {
		return err
	}
	return transfer(c.fd, setCPUID2, &list, c.doing("set CPUID"))
}

func (c *VCPU) doing(what string) string { return fmt.Sprintf("vCPU %d: %s", c.id, what) }

// close is for VM.Close.
func (c *VCPU) close() error {
	return errors.Join(unix.Munmap(c.page), unix.Close(c.fd))
}

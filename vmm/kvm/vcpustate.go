//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrUnfinished is returned when the state of a vCPU is asked for while the
// kernel waits for the answer to its last exit.
var ErrUnfinished = errors.New("vCPU is in the middle of an instruction")

// ErrXSAVE is returned for vector registers that this host has no room for.
var ErrXSAVE = errors.New("vector registers do not fit")

// VCPUState is all that a vCPU knows.
type VCPUState struct {
	TSCKHz       uint32
	MPState      uint32 // running, halted, waiting to be started
	HasTSCOffset bool
	TSCOffset    uint64 // to the host's TSC, for comparing vCPUs of one machine

	Regs      Regs
	Sregs     Sregs
	Events    VCPUEvents
	DebugRegs DebugRegs
	XCRs      XCRs
	LAPIC     LAPIC
	XSAVE     []byte // 4096 bytes, more where there are dynamic features
	CPUID     []CPUIDEntry
	MSRs      []MSR // TSC deadline included
}

// State returns the state of a vCPU that is not running. All vCPUs of the machine
// must be stopped, and the state of the machine should be taken first: see
// [VM.State].
//
// The order matters. Asking for the MP state makes the kernel carry out a reset
// that is pending, which changes everything else; asking for the events may move
// a page fault's address to CR2. The MSRs come before the local APIC: if a timer
// ends in between, its deadline and its interrupt are both saved, and the guest
// gets one interrupt too many; the other way round it would get none, ever.
func (c *VCPU) State() (VCPUState, error) {
	if c.unfinished {
		return VCPUState{}, fmt.Errorf("kvm: state of vCPU %d: %w", c.id, ErrUnfinished)
	}
	var s VCPUState
	for _, get := range []func(*VCPUState) error{
		c.getMPState, c.getEvents, c.getRegisters, c.getVectors, c.getClocks, c.getMSRs, c.getLAPIC, c.getCPUID,
	} {
		if err := get(&s); err != nil {
			return VCPUState{}, err
		}
	}
	return s, nil
}

// SetState puts a saved state into a vCPU that has not run. The machine must have
// its memory and its chips; its own state is set last, see [VM.SetState].
//
// The order matters again. CPUID decides which registers exist. Special
// registers have the base and the mode of the local APIC, so they come before it;
// its timer's mode must be there before the deadline, which the kernel otherwise
// drops without a word; and the deadline is compared with the TSC, so that comes
// first. Setting registers drops pending exceptions, so events are last.
func (c *VCPU) SetState(s VCPUState) error {
	for _, set := range []func(*VCPUState) error{
		c.putCPUID, c.putSpeed, c.putRegisters, c.putMPState, c.putVectors, c.putLAPIC, c.putMSRs, c.putEvents,
	} {
		if err := set(&s); err != nil {
			return err
		}
	}
	return nil
}

// NotifyPaused tells a guest that uses KVM's clock that it was stopped, so that its
// watchdogs do not take the gap for a hang. Call it after a pause, before the
// state is saved.
func (c *VCPU) NotifyPaused() error {
	_, err := ioctl(c.fd, kvmclockCtrl, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: the guest does not use it
		return fmt.Errorf("kvm: %s: %w", c.doing("tell of a pause"), err)
	}
	return nil
}

func (c *VCPU) getMPState(s *VCPUState) error {
	return transfer(c.fd, getMPState, &s.MPState, c.doing("get MP state"))
}

func (c *VCPU) putMPState(s *VCPUState) error {
	return transfer(c.fd, setMPState, &s.MPState, c.doing("set MP state"))
}

func (c *VCPU) getEvents(s *VCPUState) error {
	return transfer(c.fd, getVCPUEvents, &s.Events, c.doing("get events"))
}

func (c *VCPU) putEvents(s *VCPUState) error {
	return transfer(c.fd, setVCPUEvents, &s.Events, c.doing("set events"))
}

func (c *VCPU) getRegisters(s *VCPUState) error {
	return errors.Join(
		transfer(c.fd, getRegs, &s.Regs, c.doing("get registers")),
		transfer(c.fd, getSregs, &s.Sregs, c.doing("get special registers")),
		transfer(c.fd, getDebugRegs, &s.DebugRegs, c.doing("get debug registers")))
}

func (c *VCPU) putRegisters(s *VCPUState) error {
	return errors.Join(
		transfer(c.fd, setSregs, &s.Sregs, c.doing("set special registers")),
		transfer(c.fd, setRegs, &s.Regs, c.doing("set registers")),
		transfer(c.fd, setDebugRegs, &s.DebugRegs, c.doing("set debug registers")))
}

// getVectors asks by the request that knows of the size, where the size is not
// what it always was.
func (c *VCPU) getVectors(s *VCPUState) error {
	lenBytes, err := c.xsaveBytes()
	if err != nil {
		return err
	}
	request := uintptr(getXSAVE)
	if lenBytes > minXSAVEBytes {
		request = getXSAVE2
	}
	s.XSAVE = make([]byte, lenBytes)
	return errors.Join(
		transfer(c.fd, request, &s.XSAVE[0], c.doing("get vector registers")),
		transfer(c.fd, getXCRs, &s.XCRs, c.doing("get extended control registers")))
}

// putVectors gives the kernel as many bytes as it reads, which may be more than
// were saved on another host.
func (c *VCPU) putVectors(s *VCPUState) error {
	lenBytes, err := c.xsaveBytes()
	if err != nil {
		return err
	}
	if len(s.XSAVE) > lenBytes {
		return fmt.Errorf("kvm: vCPU %d: %w: %d bytes, this host has %d", c.id, ErrXSAVE, len(s.XSAVE), lenBytes)
	}
	vectors := make([]byte, lenBytes)
	copy(vectors, s.XSAVE)
	return errors.Join(c.putXCRs(s), transfer(c.fd, setXSAVE, &vectors[0], c.doing("set vector registers")))
}

func (c *VCPU) putXCRs(s *VCPUState) error {
	return transfer(c.fd, setXCRs, &s.XCRs, c.doing("set extended control registers"))
}

func (c *VCPU) xsaveBytes() (int, error) {
	n, err := c.vm.Capability(CapXSAVE2) // 0 before Linux 5.17
	return max(n, minXSAVEBytes), err
}

func (c *VCPU) getClocks(s *VCPUState) (err error) {
	if s.TSCKHz, err = c.tscKHz(); err != nil {
		return err
	}
	s.TSCOffset, s.HasTSCOffset, err = c.tscOffset()
	return err
}

func (c *VCPU) putSpeed(s *VCPUState) error { return c.setTSCKHz(s.TSCKHz) }

func (c *VCPU) getMSRs(s *VCPUState) error {
	list, err := c.vm.system.MSRIndexList()
	if err != nil {
		return err
	}
	s.MSRs, err = c.MSRs(savedMSRs(list))
	return err
}

func (c *VCPU) putMSRs(s *VCPUState) error {
	others, deadline := splitDeadline(s.MSRs)
	if err := c.SetMSRs(others); err != nil {
		return err
	}
	if s.HasTSCOffset {
		if err := c.alignTSC(s.TSCOffset); err != nil {
			return err
		}
	}
	return c.SetMSRs(deadline)
}

func splitDeadline(msrs []MSR) (others, deadline []MSR) {
	for _, m := range msrs {
		if m.Index == msrTSCDeadline {
			deadline = append(deadline, m)
		} else {
			others = append(others, m)
		}
	}
	return others, deadline
}

func (c *VCPU) getLAPIC(s *VCPUState) error {
	return transfer(c.fd, getLAPIC, &s.LAPIC, c.doing("get local APIC"))
}

func (c *VCPU) putLAPIC(s *VCPUState) error {
	return transfer(c.fd, setLAPIC, &s.LAPIC, c.doing("set local APIC"))
}

func (c *VCPU) getCPUID(s *VCPUState) (err error) {
	s.CPUID, err = c.CPUID()
	return err
}

func (c *VCPU) putCPUID(s *VCPUState) error { return c.SetCPUID(s.CPUID) }

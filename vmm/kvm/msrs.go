//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// ErrMSR is returned when a model-specific register cannot be set to the value it
// has to have.
var ErrMSR = errors.New("MSR cannot be set")

// MSRs that the order of a restore is about. Source: Linux,
// arch/x86/include/asm/msr-index.h.
const (
	msrTSC         = 0x10
	msrTSCDeadline = 0x6e0
)

// Hyper-V's registers, which the kernel has in its list and we do not offer:
// touching one makes it set up an emulation.
const (
	firstHyperVMSR = 0x40000000
	lastHyperVMSR  = 0x400001ff
)

// savedMSRs is the registers to save: the kernel's list without Hyper-V's, and
// the two that are needed whatever the list says.
func savedMSRs(list []uint32) []uint32 {
	wanted := slices.Clone(list)
	wanted = append(wanted, msrTSC, msrTSCDeadline)
	wanted = slices.DeleteFunc(wanted, func(index uint32) bool { return firstHyperVMSR <= index && index <= lastHyperVMSR })
	slices.Sort(wanted)
	return slices.Compact(wanted)
}

// MSRs returns the values of those registers that this vCPU has.
func (c *VCPU) MSRs(indices []uint32) ([]MSR, error) {
	msrs := make([]MSR, 0, len(indices))
	for len(indices) > 0 {
		var list msrList
		for _, index := range indices[:min(len(indices), maxMSRs)] {
			list.entries[list.count].Index = index
			list.count++
		}
		done, err := c.transferMSRs(getMSRs, &list, "get MSRs")
		if err != nil {
			return nil, err
		}
		msrs = append(msrs, list.entries[:done]...)
		if done < int(list.count) {
			done++ // the kernel stops at one that this vCPU has not got
		}
		indices = indices[done:]
	}
	return msrs, nil
}

// SetMSRs sets registers in that order. A register that cannot be set is ErrMSR,
// unless it has the value already.
func (c *VCPU) SetMSRs(msrs []MSR) error {
	for len(msrs) > 0 {
		var list msrList
		list.count = uint32(copy(list.entries[:], msrs))
		done, err := c.transferMSRs(setMSRs, &list, "set MSRs")
		if err != nil {
			return err
		}
		if done < int(list.count) {
			if err := c.wantMSR(msrs[done]); err != nil {
				return err
			}
			done++
		}
		msrs = msrs[done:]
	}
	return nil
}

// wantMSR checks a register that was not to be set.
func (c *VCPU) wantMSR(want MSR) error {
	got, err := c.MSRs([]uint32{want.Index})
	switch {
	case err != nil:
		return err
	case len(got) == 0 && want.Value == 0:
		return nil // it is not there, and nothing is lost
	case len(got) == 0:
		return fmt.Errorf("kvm: vCPU %d: %w: MSR %#x to %#x, it is not there", c.id, ErrMSR, want.Index, want.Value)
	case got[0].Value != want.Value:
		return fmt.Errorf("kvm: vCPU %d: %w: MSR %#x to %#x, it is %#x", c.id, ErrMSR, want.Index, want.Value, got[0].Value)
	}
	return nil
}

// transferMSRs returns how many of the list the kernel has done.
func (c *VCPU) transferMSRs(request uintptr, list *msrList, what string) (int, error) {
	done, err := ioctlPointer(c.fd, request, unsafe.Pointer(list)) //nolint:gosec // G103: an ioctl takes a pointer
	if err != nil {
		return 0, fmt.Errorf("kvm: %s: %w", c.doing(what), err)
	}
	return min(done, int(list.count)), nil
}

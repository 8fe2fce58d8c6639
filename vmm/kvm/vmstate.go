//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
)

// VMState is what the vCPUs of a machine share.
type VMState struct {
	PICMaster  PIC
	PICSlave   PIC
	IOAPIC     IOAPIC
	PIT        PITState
	ClockNanos uint64 // of KVM's clock
}

// State returns the state of a machine whose vCPUs are all stopped.
//
// Timers go on meanwhile. Each chip is saved before those that its interrupts
// go to, and all before the vCPUs: an interrupt on its way is then saved twice
// rather than never.
func (v *VM) State() (VMState, error) {
	var s VMState
	clock := clockData{}
	if err := transfer(v.fd, getClock, &clock, "get the clock"); err != nil {
		return VMState{}, err
	}
	s.ClockNanos = clock.clock
	if err := transfer(v.fd, getPIT2, &s.PIT, "get the PIT"); err != nil {
		return VMState{}, err
	}
	err := errors.Join(
		v.getChip(chipIOAPIC, s.IOAPIC[:]),
		v.getChip(chipPICMaster, s.PICMaster[:]),
		v.getChip(chipPICSlave, s.PICSlave[:]))
	if err != nil {
		return VMState{}, err
	}
	return s, nil
}

// SetState puts a saved state into a machine. Set those of all vCPUs before: an
// interrupt that is pending in a chip is delivered here, and the local APIC that it
// goes to must be as it was.
//
// The clock goes on from where it was, and the real time in between is not added:
// the guest's TSC does the same.
func (v *VM) SetState(s VMState) error {
	err := errors.Join(
		v.setChip(chipPICMaster, s.PICMaster[:]),
		v.setChip(chipPICSlave, s.PICSlave[:]),
		v.setChip(chipIOAPIC, s.IOAPIC[:]))
	if err != nil {
		return err
	}
	if err := transfer(v.fd, setPIT2, &s.PIT, "set the PIT"); err != nil {
		return err
	}
	return transfer(v.fd, setClock, &clockData{clock: s.ClockNanos}, "set the clock")
}

func (v *VM) getChip(number uint32, to []byte) error {
	chip := irqChip{chip: number}
	if err := transfer(v.fd, getIRQChip, &chip, fmt.Sprintf("get interrupt controller %d", number)); err != nil {
		return err
	}
	copy(to, chip.data[:])
	return nil
}

func (v *VM) setChip(number uint32, from []byte) error {
	chip := irqChip{chip: number}
	copy(chip.data[:], from)
	return transfer(v.fd, setIRQChip, &chip, fmt.Sprintf("set interrupt controller %d", number))
}

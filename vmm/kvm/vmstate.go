//go:build linux && amd64

package kvm

import (
	"encoding/binary"
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
	s.settleLines()
	return s, nil
}

// settleLines has all edge-triggered lines at rest. Interrupts by edges are pulses here,
// those of devices and of the PIT alike, and a pulse takes two steps. A state that was
// taken in between has the line high: the chip that gets it back would wait for its fall,
// take no notice of the next rise, and the PIT, whose tick was not acknowledged, would
// never tick again. The interrupt itself is not lost by this: the PICs keep the request,
// and the IOAPIC has passed it on, or has dropped it if it is masked.
func (s *VMState) settleLines() {
	for _, pic := range []*PIC{&s.PICMaster, &s.PICSlave} {
		pic[picLastIRR] &= pic[picELCR]
	}
	irr := binary.LittleEndian.Uint32(s.IOAPIC[ioapicIRR:])
	for pin := range ioapicPins {
		entry := binary.LittleEndian.Uint64(s.IOAPIC[ioapicTable+8*pin:])
		if entry&ioapicLevelTriggered == 0 {
			irr &^= 1 << pin
		}
	}
	binary.LittleEndian.PutUint32(s.IOAPIC[ioapicIRR:], irr)
}

// Where things are in struct kvm_pic_state and struct kvm_ioapic_state of
// arch/x86/include/uapi/asm/kvm.h.
const (
	picLastIRR = 0  // lines as they were last: a rise from 0 is an edge
	picELCR    = 14 // lines that are level-triggered

	ioapicIRR            = 16
	ioapicTable          = 24 // an entry of 8 bytes for each pin
	ioapicPins           = 24
	ioapicLevelTriggered = 1 << 15
)

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

//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"testing"
)

// A state that was taken while lines were high has those at rest whose interrupts are
// edges, and no others; requests stay.
func TestSettleLines(t *testing.T) {
	var s VMState
	s.PICMaster[picLastIRR], s.PICMaster[picLastIRR+1], s.PICMaster[picELCR] = 0x23, 0x01, 0x20
	s.PICSlave[picLastIRR], s.PICSlave[picELCR] = 0x0f, 0x0c
	binary.LittleEndian.PutUint32(s.IOAPIC[ioapicIRR:], 1<<2|1<<5|1<<23)
	binary.LittleEndian.PutUint64(s.IOAPIC[ioapicTable+8*2:], 0x30)
	binary.LittleEndian.PutUint64(s.IOAPIC[ioapicTable+8*5:], ioapicLevelTriggered|0x31)
	s.settleLines()
	if s.PICMaster[picLastIRR] != 0x20 || s.PICMaster[picLastIRR+1] != 0x01 || s.PICSlave[picLastIRR] != 0x0c {
		t.Errorf("PICs: % x, % x", s.PICMaster, s.PICSlave)
	}
	if irr := binary.LittleEndian.Uint32(s.IOAPIC[ioapicIRR:]); irr != 1<<5 {
		t.Errorf("IOAPIC: lines %#x", irr)
	}
}

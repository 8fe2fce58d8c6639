//go:build linux && amd64

package vmm

import (
	"sabrefs/vmm/boot"
	"sabrefs/vmm/kvm"
)

// bootVCPUs tells all vCPUs what they are, and the first where to begin. The
// others wait for the guest to start them.
func (m *Machine) bootVCPUs(entry boot.Entry) error {
	supported, err := m.system.SupportedCPUID()
	if err != nil {
		return err
	}
	for id, cpu := range m.vcpus {
		if err := cpu.SetCPUID(kvm.BootCPUID(supported, id, len(m.vcpus))); err != nil {
			return err
		}
	}
	return enter(m.vcpus[0], entry)
}

func enter(cpu *kvm.VCPU, e boot.Entry) error {
	sregs, err := cpu.Sregs()
	if err != nil {
		return err
	}
	data := segment(e.Data)
	sregs.CS, sregs.TR = segment(e.Code), segment(e.Task)
	sregs.DS, sregs.ES, sregs.FS, sregs.GS, sregs.SS = data, data, data, data, data
	sregs.GDT = kvm.Table{Base: e.GDTBase, Limit: e.GDTLimit}
	sregs.IDT = kvm.Table{}
	sregs.CR0, sregs.CR3, sregs.CR4, sregs.EFER = e.CR0, e.CR3, e.CR4, e.EFER
	if err := cpu.SetSregs(sregs); err != nil {
		return err
	}
	return cpu.SetRegs(kvm.Regs{RIP: e.RIP, RSI: e.RSI, RSP: e.RSP, RFLAGS: e.RFLAGS})
}

func segment(s boot.Segment) kvm.Segment {
	return kvm.Segment{
		Base: s.Base, Limit: s.Limit, Selector: s.Selector, Type: s.Type,
		Present: s.Present, DPL: s.DPL, DB: s.DB, S: s.S, L: s.L, G: s.G, AVL: s.Available,
	}
}

//go:build linux && amd64

package vmm

import (
	"encoding/json"
	"fmt"

	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memfile"
	"sabrefs/vmm/memory"
	"sabrefs/vmm/state"
)

// Versions of what is saved as JSON. Devices and KVM have their own.
const (
	hardwareVersion = 1
	contentsVersion = 1
)

// savedHardware is the section KindMachine of a state file.
type savedHardware struct {
	Version int `json:"version"`
	hardware
}

// savedContents is the section KindMemory: what the memory file must have.
type savedContents struct {
	Version   int               `json:"version"`
	SizeBytes int64             `json:"size_bytes"`
	Witnesses []memfile.Witness `json:"witnesses,omitempty"`
}

// save returns all state of a paused machine. Devices come before the interrupt
// controllers, and these before the vCPUs: a key that is typed meanwhile may
// then cause an interrupt without a reason, but not be without its interrupt.
func (m *Machine) save(contents savedContents) ([]state.Section, error) {
	sections := make([]state.Section, 0, 3+len(m.devices.saved)+len(m.vcpus))
	err := addJSON(&sections, state.KindMachine, savedHardware{hardwareVersion, m.hardware})
	if err != nil {
		return nil, err
	}
	if err := addJSON(&sections, state.KindMemory, contents); err != nil {
		return nil, err
	}
	for i, device := range m.devices.saved {
		data, err := device.Save()
		if err != nil {
			return nil, fmt.Errorf("saving device %s: %w", device.name, err)
		}
		sections = append(sections, state.Section{Kind: state.KindDevice, Index: uint32(i), Name: device.name, Data: data})
	}
	return m.saveKVM(sections)
}

func addJSON(sections *[]state.Section, kind state.Kind, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding section %v: %w", kind, err)
	}
	*sections = append(*sections, state.Section{Kind: kind, Data: data})
	return nil
}

func (m *Machine) saveKVM(sections []state.Section) ([]state.Section, error) {
	vm, err := m.vm.State()
	if err != nil {
		return nil, err
	}
	data, err := vm.MarshalBinary()
	if err != nil {
		return nil, err
	}
	sections = append(sections, state.Section{Kind: state.KindVM, Data: data})
	for i, cpu := range m.vcpus {
		vcpu, err := cpu.State()
		if err != nil {
			return nil, err
		}
		if data, err = vcpu.MarshalBinary(); err != nil {
			return nil, err
		}
		sections = append(sections, state.Section{Kind: state.KindVCPU, Index: uint32(i), Data: data})
	}
	return sections, nil
}

// savedMachine is a state file that was read and checked, but for its devices.
type savedMachine struct {
	hardware hardware
	contents savedContents
	vm       kvm.VMState
	vcpus    []kvm.VCPUState
	devices  []state.Section
}

// readState reads a state file, which may be anything.
func readState(path string) (*savedMachine, error) {
	sections, err := state.Read(path)
	if err != nil {
		return nil, err
	}
	var s savedMachine
	if err := s.decode(sections); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

func (s *savedMachine) decode(sections []state.Section) error {
	h := savedHardware{}
	if err := fromJSON(sections, state.KindMachine, &h); err != nil {
		return err
	}
	if h.Version != hardwareVersion {
		return fmt.Errorf("%w: hardware of version %d, this is version %d", ErrVersion, h.Version, hardwareVersion)
	}
	s.hardware = h.hardware
	if err := s.hardware.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := fromJSON(sections, state.KindMemory, &s.contents); err != nil {
		return err
	}
	if err := s.contents.check(s.hardware.MemoryBytes); err != nil {
		return err
	}
	if err := s.sort(sections); err != nil {
		return err
	}
	return s.decodeKVM(sections)
}

// sort takes the devices out, and refuses what nobody would look at: the guest
// would not be the one that was saved.
func (s *savedMachine) sort(sections []state.Section) error {
	limits := map[state.Kind]int{
		state.KindMachine: 1, state.KindMemory: 1, state.KindVM: 1,
		state.KindVCPU: s.hardware.VCPUCount, state.KindDevice: state.MaxSections,
	}
	for _, section := range sections {
		limit, known := limits[section.Kind]
		switch {
		case !known:
			return fmt.Errorf("%w: section %v is unknown", ErrVersion, section.Kind)
		case int64(section.Index) >= int64(limit):
			return fmt.Errorf("%w: section %v %d, where there can be %d", ErrDamaged, section.Kind, section.Index, limit)
		case section.Kind == state.KindDevice:
			s.devices = append(s.devices, section)
		}
	}
	return nil
}

func (c *savedContents) check(memoryBytes int64) error {
	switch {
	case c.Version != contentsVersion:
		return fmt.Errorf("%w: memory section of version %d, this is version %d", ErrVersion, c.Version, contentsVersion)
	case c.SizeBytes != memoryBytes:
		return fmt.Errorf("%w: a memory file of %d bytes for %d bytes of memory", ErrDamaged, c.SizeBytes, memoryBytes)
	case len(c.Witnesses) > memfile.MaxWitnesses:
		return fmt.Errorf("%w: %d witnesses", ErrDamaged, len(c.Witnesses))
	}
	for _, w := range c.Witnesses {
		if w.Page < 0 || w.Page >= memoryBytes/memory.PageBytes {
			return fmt.Errorf("%w: a witness of page %d", ErrDamaged, w.Page)
		}
	}
	return nil
}

func (s *savedMachine) decodeKVM(sections []state.Section) error {
	section, err := find(sections, state.KindVM, 0)
	if err != nil {
		return err
	}
	if err := s.vm.UnmarshalBinary(section.Data); err != nil {
		return fmt.Errorf("%w: section %v: %w", ErrDamaged, section.Kind, err)
	}
	s.vcpus = make([]kvm.VCPUState, s.hardware.VCPUCount)
	for i := range s.vcpus {
		if section, err = find(sections, state.KindVCPU, i); err != nil {
			return err
		}
		if err := s.vcpus[i].UnmarshalBinary(section.Data); err != nil {
			return fmt.Errorf("%w: section %v %d: %w", ErrDamaged, section.Kind, i, err)
		}
	}
	return nil
}

func find(sections []state.Section, kind state.Kind, index int) (state.Section, error) {
	section, ok := state.Find(sections, kind, uint32(index))
	if !ok {
		return section, fmt.Errorf("%w: no section %v %d", ErrDamaged, kind, index)
	}
	return section, nil
}

func fromJSON(sections []state.Section, kind state.Kind, value any) error {
	section, err := find(sections, kind, 0)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(section.Data, value); err != nil {
		return fmt.Errorf("%w: section %v: %w", ErrDamaged, kind, err)
	}
	return nil
}

// loadDevices gives the saved state back to devices, which must be the same.
func (m *Machine) loadDevices(sections []state.Section) error {
	if len(sections) != len(m.devices.saved) {
		return fmt.Errorf("%w: state of %d devices for a machine with %d", ErrDamaged, len(sections), len(m.devices.saved))
	}
	for i, device := range m.devices.saved {
		section, err := find(sections, state.KindDevice, i)
		if err != nil {
			return err
		}
		if section.Name != device.name {
			return fmt.Errorf("%w: device %d is %q, expected %q", ErrDamaged, i, section.Name, device.name)
		}
		if err := device.Load(section.Data); err != nil {
			return fmt.Errorf("%w: device %s: %w", ErrDamaged, device.name, err)
		}
	}
	return nil
}

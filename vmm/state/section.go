package state

import "strconv"

// Kind says what a section is about.
type Kind uint32

// Kinds of sections.
const (
	// KindMachine is the configuration of the machine, as JSON.
	KindMachine Kind = 1
	// KindVM is the state of what all vCPUs share.
	KindVM Kind = 2
	// KindVCPU is the state of the vCPU with the number Index.
	KindVCPU Kind = 3
	// KindDevice is the state of a device, which has a name.
	KindDevice Kind = 4
	// KindMemory says which memory file belongs to the state.
	KindMemory Kind = 5
)

func (k Kind) String() string {
	names := [...]string{KindMachine: "machine", KindVM: "vm", KindVCPU: "vcpu", KindDevice: "device", KindMemory: "memory"}
	if k >= KindMachine && k <= KindMemory {
		return names[k]
	}
	return "kind " + strconv.FormatUint(uint64(k), 10)
}

// Section is one part of a machine's state.
type Section struct {
	Kind  Kind
	Index uint32 // among those of the same kind
	Name  string // of a device; empty for others
	Data  []byte
}

// Limits of a state file. A vCPU takes some 15 KiB, more with AMX.
const (
	MaxFileBytes    = 64 << 20
	MaxSections     = 4096
	MaxSectionBytes = 16 << 20
	MaxNameBytes    = 255
)

// Find returns the section of that kind and index.
func Find(sections []Section, kind Kind, index uint32) (Section, bool) {
	for _, s := range sections {
		if s.Kind == kind && s.Index == index {
			return s, true
		}
	}
	return Section{}, false
}

// identity is what no two sections of a file have in common.
type identity struct {
	kind  Kind
	index uint32
}

func (s Section) identity() identity { return identity{s.Kind, s.Index} }

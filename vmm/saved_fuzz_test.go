//go:build linux && amd64

package vmm

import (
	"errors"
	"testing"

	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memfile"
	"sabrefs/vmm/memory"
	"sabrefs/vmm/state"
)

// FuzzSavedMachine decodes sections of any contents: what is accepted has sane
// numbers, and the rest is an error of a class that callers know.
func FuzzSavedMachine(f *testing.F) {
	vm, err := (&kvm.VMState{}).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	vcpu, err := (&kvm.VCPUState{XSAVE: make([]byte, 4096)}).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"version":1,"memory_bytes":8192,"vcpu_count":1,"drives":[{"id":"a","path":"/a"}]}`),
		[]byte(`{"version":1,"size_bytes":8192,"witnesses":[{"page":1,"crc32c":7}]}`), vm, vcpu)
	f.Fuzz(func(t *testing.T, machine, contents, vm, vcpu []byte) {
		var s savedMachine
		err := s.decode([]state.Section{
			{Kind: state.KindMachine, Data: machine}, {Kind: state.KindMemory, Data: contents},
			{Kind: state.KindVM, Data: vm}, {Kind: state.KindVCPU, Data: vcpu}, {Kind: state.KindDevice, Name: "serial"},
		})
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("an error without a class: %v", err)
			}
			return
		}
		h := s.hardware
		if memory.CheckSize(h.MemoryBytes) != nil || h.VCPUCount != 1 || len(h.Drives) > MaxDrives || len(s.vcpus) != 1 ||
			s.contents.SizeBytes != h.MemoryBytes || len(s.contents.Witnesses) > memfile.MaxWitnesses || len(s.devices) != 1 {
			t.Fatalf("accepted %+v with %+v", h, s.contents)
		}
	})
}

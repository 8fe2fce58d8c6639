//go:build linux && amd64

package vmm

import (
	"testing"

	"sabrefs/vmm/memfile"
	"sabrefs/vmm/state"
)

// TestSectionsAreAsDocumented compares with the tables of docs/FORMAT-VMSTATE.md.
func TestSectionsAreAsDocumented(t *testing.T) {
	h := hardware{MemoryBytes: 8192, VCPUCount: 2, Drives: []Drive{{ID: "rootfs", Path: "/disk", Root: true}}}
	for _, c := range []struct {
		kind  state.Kind
		value any
		want  string
	}{
		{
			state.KindMachine, savedHardware{hardwareVersion, h},
			`{"version":1,"memory_bytes":8192,"vcpu_count":2,"drives":[{"id":"rootfs","path":"/disk","read_only":false,"root":true}]}`,
		},
		{state.KindMemory, savedContents{Version: contentsVersion, SizeBytes: 8192}, `{"version":1,"size_bytes":8192}`},
		{
			state.KindMemory, savedContents{contentsVersion, 8192, []memfile.Witness{{Page: 1, CRC: 7}}},
			`{"version":1,"size_bytes":8192,"witnesses":[{"page":1,"crc32c":7}]}`,
		},
	} {
		var sections []state.Section
		mustNot(t, addJSON(&sections, c.kind, c.value))
		if got := string(sections[0].Data); got != c.want || sections[0].Kind != c.kind {
			t.Errorf("section %v is %s, want %s", sections[0].Kind, got, c.want)
		}
	}
}

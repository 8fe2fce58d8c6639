//go:build linux && amd64

package kvm

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// camel finds where a word begins.
var camel = regexp.MustCompile(`([a-z])([A-Z])`)

// rowsOf lists the fields of a structure as the document's tables do.
func rowsOf(t reflect.Type) (rows []string) {
	for field := range t.Fields() {
		if field.Type == reflect.TypeFor[VMState]() {
			for inner := range field.Type.Fields() {
				rows = append(rows, rowOf(field.Offset, inner))
			}
			continue
		}
		rows = append(rows, rowOf(0, field))
	}
	return rows
}

func rowOf(base uintptr, field reflect.StructField) string {
	name := strings.NewReplacer("TSCKHz", "tsc_khz", "HasTSCOffset", "has_tsc_offset", "TSCOffset", "tsc_offset", "MPState", "mp_state",
		"PICMaster", "pic_master", "PICSlave", "pic_slave", "IOAPIC", "ioapic", "XCRs", "xcrs",
		"XSAVEBytes", "xsave_bytes", "CPUIDCount", "cpuid_count", "MSRCount", "msr_count").Replace(field.Name)
	name = strings.ToLower(camel.ReplaceAllString(name, "${1}_$2"))
	return fmt.Sprintf("| %d | %d | `%s` |", base+field.Offset, field.Type.Size(), name)
}

// TestFormatDocument keeps the tables of docs/FORMAT-VMSTATE.md equal to the
// structures.
func TestFormatDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/FORMAT-VMSTATE.md")
	wantNoError(t, err)
	rows := append(rowsOf(reflect.TypeFor[vcpuFixed]()), rowsOf(reflect.TypeFor[vmEncoded]())...)
	rows = append(rows, fmt.Sprintf("| %d | %d | `lapic` |", vcpuFixedBytes, lapicBytes),
		fmt.Sprintf("| %d | `xsave_bytes` | `xsave` |", vcpuFixedBytes+lapicBytes),
		fmt.Sprintf("| | %d `cpuid_count` | `cpuid` |", cpuidEntryBytes),
		fmt.Sprintf("| | %d `msr_count` | `msrs` |", msrBytes))
	for _, row := range rows {
		if !strings.Contains(string(text), row) {
			t.Errorf("no row %q", row)
		}
	}
	for _, limit := range []string{
		fmt.Sprintf("%d to %d", minXSAVEBytes, maxXSAVEBytes), fmt.Sprintf("at most %d |", maxCPUIDEntries), fmt.Sprintf("at most %d |", maxSavedMSRs),
	} {
		if !strings.Contains(string(text), limit) {
			t.Errorf("the limit %q is not there", limit)
		}
	}
}

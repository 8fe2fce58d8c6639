//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// testCPUID is a processor with some of everything that BootCPUID changes.
func testCPUID() []CPUIDEntry {
	ebx, edx, ecx := vendorRegisters("GenuineIntel")
	return []CPUIDEntry{
		{Function: 0, EAX: 0x1f, EBX: ebx, EDX: edx, ECX: ecx},
		{Function: 1, EBX: 0x07100800, ECX: 1<<24 | 1<<27 | 1<<13 | 1<<5, EDX: 1<<28 | 1<<9 | 1},
		{Function: 4, Index: 0, Flags: 1, EAX: 0xfc004121},
		{Function: 4, Index: 1, Flags: 1, EAX: 0xfc01c163},
		{Function: 4, Index: 2, Flags: 1},
		{Function: 7, Index: 0, Flags: 1, EBX: 1<<2 | 1<<5, ECX: 1<<30 | 1<<4 | 1<<2},
		{Function: 7, Index: 1, Flags: 1, EAX: 1 << 4},
		{Function: 0xa, EAX: 0x07300402},
		{Function: 0xb, Index: 0, Flags: 1, EBX: 2},
		{Function: 0xb, Index: 1, Flags: 1, EBX: 64},
		{Function: 0xd, Index: 0, Flags: 1, EAX: 7},
		{Function: 0x12, Flags: 1, EAX: 1},
		{Function: 0x1f, Index: 0, Flags: 1, EBX: 2},
		{Function: 0x40000000, EAX: 0x40000001, EBX: 0x4b4d564b},
		{Function: 0x40000001, EAX: 1<<0 | 1<<3 | 1<<24},
		{Function: 0x80000001, ECX: 1<<1 | 1<<2 | 1<<23 | 1},
		{Function: 0x80000008, EAX: 46, ECX: 0x7055},
		{Function: 0x8000000a, EAX: 1},
		{Function: 0x8000001d, Index: 3, Flags: 1, EAX: 0x3c163},
		{Function: 0x8000001e, EAX: 99, EBX: 0x1ff, ECX: 7},
	}
}

func vendorRegisters(name string) (ebx, edx, ecx uint32) {
	b := []byte(name)
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
}

func TestBootCPUID(t *testing.T) {
	got := BootCPUID(testCPUID(), 5, 6)
	for _, test := range []struct {
		function, index uint32
		register        register
		want            uint32
	}{
		{1, 0, "ebx", 5<<24 | 6<<16 | 0x0800},
		{1, 0, "ecx", 1<<31 | 1<<24 | 1<<13},
		{1, 0, "edx", 1<<28 | 1<<9 | 1},
		{4, 0, "eax", 5<<26 | 0x121},         // level 1, nobody else
		{4, 1, "eax", 5<<26 | 5<<14 | 0x163}, // level 3, all
		{4, 2, "eax", 0},
		{7, 0, "ebx", 1 << 5},
		{7, 0, "ecx", 1 << 2},
		{7, 1, "eax", 1 << 4},
		{0xb, 0, "eax", 0}, {0xb, 0, "ebx", 1}, {0xb, 0, "ecx", 0x100}, {0xb, 0, "edx", 5},
		{0xb, 1, "eax", 3}, {0xb, 1, "ebx", 6}, {0xb, 1, "ecx", 0x201}, {0xb, 1, "edx", 5},
		{0xb, 2, "eax", 0}, {0xb, 2, "ebx", 0}, {0xb, 2, "ecx", 2}, {0xb, 2, "edx", 5},
		{0x40000001, 0, "eax", 1<<0 | 1<<3 | 1<<24},
		{0x80000001, 0, "ecx", 1<<1 | 1},
		{0x80000008, 0, "ecx", 3<<12 | 5},
		{0x8000001d, 3, "eax", 5<<14 | 0x163},
		{0x8000001e, 0, "eax", 5}, {0x8000001e, 0, "ebx", 5}, {0x8000001e, 0, "ecx", 0},
	} {
		e, found := findCPUID(got, test.function, test.index)
		if value := test.register.of(e); !found || value != test.want {
			t.Errorf("leaf %#x.%d %s is %#x, want %#x", test.function, test.index, test.register, value, test.want)
		}
	}
	for _, leaf := range hidden {
		if e, found := findCPUID(got, leaf, 0); found {
			t.Errorf("leaf %#x is not hidden: %+v", leaf, e)
		}
	}
}

func TestBootCPUIDOfOneVCPU(t *testing.T) {
	got := BootCPUID(testCPUID(), 0, 1)
	if e, _ := findCPUID(got, leafFeatures, 0); e.EBX != 1<<16|0x0800 || e.EDX&featuresHTT != 0 {
		t.Errorf("leaf 1 is %+v", e)
	}
	if e, _ := findCPUID(got, leafTopology, 1); e.EAX != 0 || e.EBX != 1 {
		t.Errorf("leaf 0xb.1 is %+v", e)
	}
	small := BootCPUID([]CPUIDEntry{{Function: 0, EAX: 7}}, 0, 1)
	if len(small) != 1 {
		t.Errorf("a processor without leaf 0xb got %+v", small)
	}
}

func TestCheckCPUID(t *testing.T) {
	if err := CheckCPUID(BootCPUID(testCPUID(), 1, 4), testCPUID()); err != nil {
		t.Errorf("on the host that it was made for: %v", err)
	}
	change := func(function, index uint32, edit func(*CPUIDEntry)) []CPUIDEntry {
		entries := testCPUID()
		for i := range entries {
			if entries[i].Function == function && entries[i].Index == index {
				edit(&entries[i])
			}
		}
		return entries
	}
	for _, test := range []struct {
		name     string
		host     []CPUIDEntry
		mentions []string
	}{
		{"leaf 7", change(7, 0, func(e *CPUIDEntry) { e.EBX, e.ECX = 0, 0 }), []string{"avx2", "umip"}},
		{"subleaf", change(7, 1, func(e *CPUIDEntry) { e.EAX = 0 }), []string{"avx_vnni"}},
		{"deadline", change(1, 0, func(e *CPUIDEntry) { e.ECX &^= 1 << 24 }), []string{"tsc_deadline_timer"}},
		{"vectors", change(0xd, 0, func(e *CPUIDEntry) { e.EAX = 3 }), []string{"xstate_avx"}},
		{"hypervisor", change(0x40000001, 0, func(e *CPUIDEntry) { e.EAX = 1 }), []string{"kvm_clocksource2", "kvm_clocksource_stable"}},
		{"addresses", change(0x80000008, 0, func(e *CPUIDEntry) { e.EAX = 39 }), []string{"46 bits of physical addresses (here 39)"}},
		{"vendor", change(0, 0, func(e *CPUIDEntry) { e.EBX, e.EDX, e.ECX = vendorRegisters("AuthenticAMD") }), []string{`"GenuineIntel" (here "AuthenticAMD")`}},
		{"nothing", nil, []string{"fpu", "lahf_lm", "vendor"}},
	} {
		err := CheckCPUID(BootCPUID(testCPUID(), 0, 1), test.host)
		if !errors.Is(err, ErrMissingFeatures) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, text := range test.mentions {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not mention %q", test.name, err, text)
			}
		}
	}
}

// What follows the state of the machine is no feature.
func TestCheckCPUIDIgnores(t *testing.T) {
	saved := BootCPUID(testCPUID(), 3, 4)
	for i := range saved {
		switch saved[i].Function {
		case leafFeatures:
			saved[i].ECX |= featuresOSXSAVE
		case leafExtended:
			saved[i].ECX |= extendedOSPKE
		}
	}
	if err := CheckCPUID(saved, testCPUID()); err != nil {
		t.Error(err)
	}
}

func TestFeatureWithoutName(t *testing.T) {
	saved := []CPUIDEntry{{Function: leafExtended, Index: 1, Flags: 1, EAX: 1 << 31}}
	err := CheckCPUID(saved, nil)
	if err == nil || !strings.Contains(err.Error(), "CPUID 0x7.1 eax bit 31") {
		t.Error(err)
	}
}

// The tables have at most one name for each bit, and known names are where Intel
// and AMD have them.
func TestFeatureNames(t *testing.T) {
	at := map[string]string{}
	for _, f := range featureRegisters {
		names := strings.Fields(f.names)
		if len(names) > 32 {
			t.Errorf("leaf %#x.%d %s has %d names", f.function, f.index, f.register, len(names))
		}
		for bit, name := range names {
			if name != "-" && f.function < leafKVM {
				at[name] = features{function: f.function, index: f.index, register: f.register}.name(bit)
			}
		}
	}
	for name, want := range map[string]string{
		"vmx":            "CPUID 0x1.0 ecx bit 5",
		"hypervisor":     "CPUID 0x1.0 ecx bit 31",
		"pbe":            "CPUID 0x1.0 edx bit 31",
		"arat":           "CPUID 0x6.0 eax bit 2",
		"avx512vl":       "CPUID 0x7.0 ebx bit 31",
		"pks":            "CPUID 0x7.0 ecx bit 31",
		"la57":           "CPUID 0x7.0 ecx bit 16",
		"ssbd":           "CPUID 0x7.0 edx bit 31",
		"amx_tile":       "CPUID 0x7.0 edx bit 24",
		"avx_ifma":       "CPUID 0x7.1 eax bit 23",
		"prefetchiti":    "CPUID 0x7.1 edx bit 14",
		"xstate_pkru":    "CPUID 0xd.0 eax bit 9",
		"xfd":            "CPUID 0xd.1 eax bit 4",
		"xstate_tilecfg": "CPUID 0xd.0 eax bit 17",
	} {
		if at[name] != want {
			t.Errorf("%s is %q, want %q", name, at[name], want)
		}
	}
	for name, want := range map[string]int{"lm": 29, "3dnow": 31, "mwaitx": 29, "constant_tsc": 8, "ibpb_ret": 30, "kvm_clocksource_stable": 24, "no_smm_ctl_msr": 9} {
		found := false
		for _, f := range featureRegisters {
			names := strings.Fields(f.names)
			found = found || want < len(names) && names[want] == name
		}
		if !found {
			t.Errorf("%s is not bit %d of any register", name, want)
		}
	}
}

func TestListWithoutItsRest(t *testing.T) {
	list := []CPUIDEntry{{}, {Function: 1}, {Function: 7, EAX: 1}}
	for zeros := range 3 {
		if got := withoutRest(append(list[:3:3], make([]CPUIDEntry, zeros)...)); len(got) != 3 {
			t.Errorf("%d entries are left with %d zeros behind them", len(got), zeros)
		}
	}
	if got := withoutRest(nil); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
}

package boot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// acpiTables follows the pointers as a kernel does, checks every sum on the way,
// and returns the tables by signature.
func acpiTables(t *testing.T, mem *ram) map[string][]byte {
	t.Helper()
	le := binary.LittleEndian
	rsdp := mem.at(t, le.Uint64(mem.at(t, 0x7000+0x70, 8)), 36)
	if string(rsdp[:8]) != "RSD PTR " || rsdp[15] != 2 || sum(rsdp[:20]) != 0 || sum(rsdp) != 0 {
		t.Fatalf("RSDP %x", rsdp)
	}
	tables := map[string][]byte{}
	table := func(addr uint64) []byte {
		b := mem.at(t, addr, int(le.Uint32(mem.at(t, addr+4, 4))))
		if addr < 0xe0000 || addr+uint64(len(b)) > 0x100000 || sum(b) != 0 {
			t.Errorf("table %q at %#x, sum %#x", b[:4], addr, sum(b))
		}
		tables[string(b[:4])] = b
		return b
	}
	xsdt := table(le.Uint64(rsdp[24:]))
	for p := xsdt[36:]; len(p) > 0; p = p[8:] {
		table(le.Uint64(p))
	}
	table(le.Uint64(tables["FACP"][140:]))
	return tables
}

func acpiOf(t *testing.T, vcpuCount, virtioCount int) map[string][]byte {
	t.Helper()
	opt := flatOptions(2 << 20)
	opt.VCPUCount, opt.VirtioCount = vcpuCount, virtioCount
	mem := newRAM(2 << 20)
	if _, err := Load(mem, opt); err != nil {
		t.Fatal(err)
	}
	return acpiTables(t, mem)
}

func TestACPITables(t *testing.T) {
	for virtioCount := range MaxVirtioDevices + 1 {
		tables := acpiOf(t, 2, virtioCount)
		if len(tables) != 4 || tables["XSDT"] == nil || tables["APIC"] == nil || tables["DSDT"] == nil {
			t.Fatalf("%d tables", len(tables))
		}
		if got := bytes.Count(tables["DSDT"], []byte("LNRO0005\x00")); got != virtioCount {
			t.Errorf("%d virtio devices, expected %d", got, virtioCount)
		}
	}
}

func TestFADT(t *testing.T) {
	le := binary.LittleEndian
	fadt := acpiOf(t, 1, 0)["FACP"]
	if len(fadt) != 276 || fadt[8] != 6 {
		t.Fatalf("%d bytes, revision %d", len(fadt), fadt[8])
	}
	if flags := le.Uint32(fadt[112:]); flags != 0x100431 {
		t.Errorf("flags %#x", flags)
	}
	for what, c := range map[string]struct {
		offset int
		want   string
	}{
		"reset register": {116, "01080001" + "6400000000000000" + "fe"},
		"sleep control":  {244, "01080001" + "0006000000000000"},
		"sleep status":   {256, "01080001" + "0106000000000000"},
		"boot flags":     {109, "1f00"},
	} {
		if got := hex.EncodeToString(fadt[c.offset:][:len(c.want)/2]); got != c.want {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestMADT(t *testing.T) {
	want := "0000e0fe" + "01000000" + // local APICs, and an 8259
		"0008" + "0000" + "01000000" +
		"0008" + "0101" + "01000000" +
		"0008" + "0202" + "01000000" +
		"010c" + "0300" + "0000c0fe" + "00000000" + // I/O APIC 3
		"0406" + "ff" + "0000" + "01" // NMI at LINT1
	if got := hex.EncodeToString(acpiOf(t, 3, 0)["APIC"][36:]); got != want {
		t.Errorf("\n%s, expected\n%s", got, want)
	}
}

// The bytes that iasl makes of:
//
//	Device (VR02) {
//	    Name (_HID, "LNRO0005")
//	    Name (_UID, 2)
//	    Name (_CCA, 1)
//	    Name (_CRS, ResourceTemplate () {
//	        Memory32Fixed (ReadWrite, 0xD0002000, 0x1000)
//	        Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 7 }
//	    })
//	}
//
// but for small numbers, which iasl has shorter opcodes for.
func TestVirtioDeviceGolden(t *testing.T) {
	want := "5b82" + "4304" + hex.EncodeToString([]byte("VR02")) + // 67 bytes
		"08" + hex.EncodeToString([]byte("_HID")) + "0d" + hex.EncodeToString([]byte("LNRO0005\x00")) +
		"08" + hex.EncodeToString([]byte("_UID")) + "0a02" +
		"08" + hex.EncodeToString([]byte("_CCA")) + "0a01" +
		"08" + hex.EncodeToString([]byte("_CRS")) + "11" + "1a" + "0a17" +
		"86090001" + "002000d0" + "00100000" +
		"89060003" + "01" + "07000000" +
		"7900"
	if got := hex.EncodeToString(encodeVirtioDevice(2)); got != want {
		t.Errorf("\n%s, expected\n%s", got, want)
	}
}

func TestSoftOff(t *testing.T) {
	want, err := hex.DecodeString("08" + hex.EncodeToString([]byte("_S5_")) + "120a" + "04" + "0a05" + "0a05" + "0a00" + "0a00")
	if err != nil {
		t.Fatal(err)
	}
	if dsdt := acpiOf(t, 1, 3)["DSDT"]; !bytes.HasSuffix(dsdt, want) {
		t.Errorf("no %x at the end of %x", want, dsdt)
	}
}

func TestAMLLengths(t *testing.T) {
	for _, c := range []struct {
		body int
		want []byte
	}{
		{0, []byte{1}},
		{62, []byte{63}},
		{63, []byte{0x41, 4}},                   // 65
		{4093, []byte{0x4f, 0xff}},              // 4095
		{4094, []byte{0x81, 0x00, 0x01}},        // 4097
		{0x12345 - 3, []byte{0x85, 0x34, 0x12}}, // 0x12345
	} {
		got := amlSized(make([]byte, c.body))
		if !bytes.HasPrefix(got, c.want) || len(got) != len(c.want)+c.body {
			t.Errorf("body of %d: %x", c.body, got[:len(got)-c.body])
		}
	}
}

func TestEISAID(t *testing.T) {
	for product, want := range map[uint16]string{0x0501: "0c41d00501", 0x0303: "0c41d00303"} {
		if got := hex.EncodeToString(eisaID(product)); got != want {
			t.Errorf("PNP%04X is %s, expected %s", product, got, want)
		}
	}
}

func TestVirtioParameter(t *testing.T) {
	if got := VirtioParameter(1); got != "virtio_mmio.device=4K@0xd0001000:6" {
		t.Error(got)
	}
}

package boot

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// ACPI tables (ACPI specification 6.5, chapter 5.2).
const (
	rsdpBytes        = 36
	acpiHeaderBytes  = 36
	fadtBytes        = 276
	acpiAlignment    = 16
	acpiSpaceIO      = 1
	acpiAccessByte   = 1
	madtLocalAPIC    = 0
	madtIOAPIC       = 1
	madtLocalNMI     = 4
	madtAllCPUs      = 0xff
	madtPCATCompat   = 1 // there is an 8259 as well
	sleepTypeSoftOff = 5

	// Flags of the FADT: buttons are no fixed hardware, the reset register
	// works, and nothing else of the fixed hardware exists.
	fadtFlags = 1<<0 /* WBINVD */ | 1<<4 /* PWR_BUTTON */ | 1<<5 /* SLP_BUTTON */ |
		1<<10 /* RESET_REG_SUP */ | 1<<20 /* HW_REDUCED_ACPI */
	// IAPC_BOOT_ARCH: legacy devices, an 8042, no VGA, no MSI, no ASPM.
	fadtBootArch = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4

	resetPort  = 0x64 // of the keyboard controller
	resetValue = 0xfe // pulses the CPU's reset line
)

// Byte offsets in the FADT.
const (
	fadtDSDT         = 40
	fadtBootArchOff  = 109
	fadtFlagsOff     = 112
	fadtResetReg     = 116
	fadtResetValue   = 128
	fadtMinor        = 131
	fadtXDSDT        = 140
	fadtSleepControl = 244
	fadtSleepStatus  = 256
)

// encodeACPI returns all ACPI tables as they lie from acpiAddr on: the RSDP
// first, which kernels search for.
func encodeACPI(opt Options) []byte {
	var tables []byte // behind the RSDP
	add := func(table []byte) (addr uint64) {
		addr = acpiAddr + uint64(acpiAlign(rsdpBytes)+len(tables))
		tables = append(tables, table...)
		tables = append(tables, make([]byte, acpiAlign(len(tables))-len(tables))...)
		return addr
	}
	dsdt := add(acpiTable("DSDT", 2, encodeDSDT(opt.VirtioCount)))
	fadt := add(acpiTable("FACP", 6, encodeFADT(dsdt)))
	madt := add(acpiTable("APIC", 5, encodeMADT(opt.VCPUCount)))
	xsdt := binary.LittleEndian.AppendUint64(nil, fadt)
	xsdt = binary.LittleEndian.AppendUint64(xsdt, madt)
	rsdp := encodeRSDP(add(acpiTable("XSDT", 1, xsdt)))
	return slices.Concat(rsdp, make([]byte, acpiAlign(rsdpBytes)-rsdpBytes), tables)
}

func acpiAlign(n int) int { return (n + acpiAlignment - 1) &^ (acpiAlignment - 1) }

// acpiTable puts the header that all tables have in front of a body.
func acpiTable(signature string, revision byte, body []byte) []byte {
	b := make([]byte, acpiHeaderBytes, acpiHeaderBytes+len(body))
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[4:], uint32(acpiHeaderBytes+len(body)))
	b[8] = revision
	copy(b[10:], "SABREF")
	copy(b[16:], "SABREVMM")
	binary.LittleEndian.PutUint32(b[24:], 1)
	copy(b[28:], "SABR")
	binary.LittleEndian.PutUint32(b[32:], 1)
	b = append(b, body...)
	b[9] = checksum(b)
	return b
}

func encodeRSDP(xsdt uint64) []byte {
	b := make([]byte, rsdpBytes)
	copy(b, "RSD PTR ")
	copy(b[9:], "SABREF")
	b[15] = 2
	binary.LittleEndian.PutUint32(b[20:], rsdpBytes)
	binary.LittleEndian.PutUint64(b[24:], xsdt)
	b[8] = checksum(b[:20]) // of what ACPI 1.0 knew
	b[32] = checksum(b)
	return b
}

// encodeFADT returns the FADT behind its header; the offsets above count from
// the header's start.
func encodeFADT(dsdt uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, fadtBytes)
	le.PutUint32(b[fadtDSDT:], uint32(dsdt))
	le.PutUint16(b[fadtBootArchOff:], fadtBootArch)
	le.PutUint32(b[fadtFlagsOff:], fadtFlags)
	copy(b[fadtResetReg:], acpiPort(resetPort))
	b[fadtResetValue] = resetValue
	b[fadtMinor] = 5
	le.PutUint64(b[fadtXDSDT:], dsdt)
	copy(b[fadtSleepControl:], acpiPort(PowerPort))
	copy(b[fadtSleepStatus:], acpiPort(PowerPort+1))
	return b[acpiHeaderBytes:]
}

// acpiPort is a generic address: a register of one byte at an I/O port.
func acpiPort(port uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{acpiSpaceIO, 8, 0, acpiAccessByte}, port)
}

func encodeMADT(vcpuCount int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, localAPICAddr)
	b = le.AppendUint32(b, madtPCATCompat)
	for id := range byte(vcpuCount) {
		b = append(b, madtLocalAPIC, 8, id, id)
		b = le.AppendUint32(b, 1) // enabled
	}
	b = append(b, madtIOAPIC, 12, ioAPICID(vcpuCount), 0)
	b = le.AppendUint32(b, ioAPICAddr)
	b = le.AppendUint32(b, 0) // its first interrupt
	return append(b, madtLocalNMI, 6, madtAllCPUs, 0, 0, 1)
}

// encodeDSDT names the devices: Linux uses an ISA interrupt of a machine with
// reduced hardware only if a device here has it.
func encodeDSDT(virtioCount int) []byte {
	devices := [][]byte{
		amlDeviceTerm("COM1",
			amlNamed("_HID", eisaID(0x0501)), amlNamed("_UID", amlByteValue(1)),
			amlResources(resourcePorts(0x3f8, 8), resourceISAInterrupt(4))),
		amlDeviceTerm("KBD_",
			amlNamed("_HID", eisaID(0x0303)),
			amlResources(resourcePorts(0x60, 1), resourcePorts(0x64, 1), resourceISAInterrupt(1))),
		amlDeviceTerm("RTC_",
			amlNamed("_HID", eisaID(0x0b00)),
			amlResources(resourcePorts(0x70, 2))), // read only, no alarm: no interrupt
	}
	for n := range virtioCount {
		devices = append(devices, encodeVirtioDevice(n))
	}
	softOff := amlNamed("_S5_", amlPackageValue(
		amlByteValue(sleepTypeSoftOff), amlByteValue(sleepTypeSoftOff), amlByteValue(0), amlByteValue(0)))
	return append(amlScopeTerm(`\_SB_`, devices...), softOff...)
}

func encodeVirtioDevice(n int) []byte {
	return amlDeviceTerm(fmt.Sprintf("VR%02X", n),
		amlNamed("_HID", amlStringValue("LNRO0005")), // what Linux takes for virtio-mmio
		amlNamed("_UID", amlByteValue(byte(n))),
		amlNamed("_CCA", amlByteValue(1)), // DMA is coherent
		amlResources(
			resourceMemory(uint32(VirtioBase+n*VirtioStride), VirtioStride),
			resourceInterrupt(VirtioIRQ+n)))
}

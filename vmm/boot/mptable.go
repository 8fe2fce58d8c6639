package boot

import (
	"bytes"
	"encoding/binary"
)

// The MP configuration table (Intel MultiProcessor Specification 1.4, chapter
// 4). Interrupts are wired one to one: ISA interrupt n is pin n of the I/O APIC.
const (
	mpFloatingBytes = 16
	mpHeaderBytes   = 44
	mpVersion       = 4 // of the specification: 1.4
	apicVersion     = 0x14
	ioAPICVersion   = 0x11

	mpProcessor      = 0
	mpBus            = 1
	mpIOAPIC         = 2
	mpInterrupt      = 3
	mpLocalInterrupt = 4

	mpEnabled       = 1 << 0
	mpBootProcessor = 1 << 1
	mpInterruptINT  = 0 // vectored, the APIC supplies the vector
	mpInterruptNMI  = 1
	mpInterruptExt  = 3 // the vector comes from the 8259
	mpAllAPICs      = 0xff

	// A CPU that says little of itself: family 6, with FPU, MCE, CX8 and APIC.
	mpSignature = 0x600
	mpFeatures  = 0x201
)

// ioAPICID is the APIC ID behind those of the CPUs.
func ioAPICID(vcpuCount int) byte { return byte(vcpuCount) }

// encodeMPTable returns the floating pointer and, right behind it, the table
// that it points to.
func encodeMPTable(vcpuCount int) []byte {
	entries, entryCount := encodeMPEntries(vcpuCount)
	table := append(encodeMPHeader(mpHeaderBytes+len(entries), entryCount), entries...)
	table[7] = checksum(table)
	return append(encodeMPFloating(), table...)
}

func encodeMPFloating() []byte {
	b := make([]byte, mpFloatingBytes)
	copy(b, "_MP_")
	binary.LittleEndian.PutUint32(b[4:], mpTableAddr+mpFloatingBytes)
	b[8] = 1 // length in units of 16 bytes
	b[9] = mpVersion
	b[10] = checksum(b)
	return b
}

func encodeMPHeader(tableBytes, entryCount int) []byte {
	b := make([]byte, mpHeaderBytes)
	copy(b, "PCMP")
	binary.LittleEndian.PutUint16(b[4:], uint16(tableBytes))
	b[6] = mpVersion
	copy(b[8:], "SABREFS ")
	copy(b[16:], "VMM         ")
	binary.LittleEndian.PutUint16(b[34:], uint16(entryCount))
	binary.LittleEndian.PutUint32(b[36:], localAPICAddr)
	return b
}

func encodeMPEntries(vcpuCount int) (entries []byte, entryCount int) {
	var b bytes.Buffer
	for id := range byte(vcpuCount) {
		b.Write(encodeMPProcessor(id))
	}
	b.Write(append([]byte{mpBus, 0}, "ISA   "...))
	b.Write(binary.LittleEndian.AppendUint32(
		[]byte{mpIOAPIC, ioAPICID(vcpuCount), ioAPICVersion, mpEnabled}, ioAPICAddr))
	for irq := range byte(ioAPICPins) {
		// Polarity and trigger as the bus has them: ISA is edge, active high.
		b.Write([]byte{mpInterrupt, mpInterruptINT, 0, 0, 0, irq, ioAPICID(vcpuCount), irq})
	}
	b.Write([]byte{mpLocalInterrupt, mpInterruptExt, 0, 0, 0, 0, 0, 0})
	b.Write([]byte{mpLocalInterrupt, mpInterruptNMI, 0, 0, 0, 0, mpAllAPICs, 1})
	return b.Bytes(), vcpuCount + 1 + 1 + ioAPICPins + 2
}

func encodeMPProcessor(id byte) []byte {
	flags := byte(mpEnabled)
	if id == 0 {
		flags |= mpBootProcessor
	}
	b := []byte{mpProcessor, id, apicVersion, flags}
	b = binary.LittleEndian.AppendUint32(b, mpSignature)
	b = binary.LittleEndian.AppendUint32(b, mpFeatures)
	return append(b, make([]byte, 8)...)
}

// checksum is the byte that makes the sum of all bytes zero.
func checksum(b []byte) byte {
	var sum byte
	for _, v := range b {
		sum += v
	}
	return -sum
}

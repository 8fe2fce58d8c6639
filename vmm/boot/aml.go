package boot

import "encoding/binary"

// ACPI Machine Language (ACPI specification 6.5, chapter 20), as much of it as
// naming a few devices takes. Each function returns one encoded term.

const (
	amlName     = 0x08
	amlByte     = 0x0a
	amlDWord    = 0x0c
	amlString   = 0x0d
	amlScope    = 0x10
	amlBuffer   = 0x11
	amlPackage  = 0x12
	amlExtended = 0x5b
	amlDevice   = 0x82 // behind amlExtended
)

// amlSized puts the length of a package in front of its body. The length counts
// itself, hence the sums.
func amlSized(body []byte) []byte {
	switch n := len(body); {
	case n+1 < 1<<6:
		return append([]byte{byte(n + 1)}, body...)
	case n+2 < 1<<12:
		return append([]byte{1<<6 | byte(n+2)&0xf, byte((n + 2) >> 4)}, body...)
	default: // up to 1 MiB, far more than there are devices
		return append([]byte{2<<6 | byte(n+3)&0xf, byte((n + 3) >> 4), byte((n + 3) >> 12)}, body...)
	}
}

func amlNamed(name string, value []byte) []byte {
	return append(append([]byte{amlName}, name...), value...)
}

func amlByteValue(v byte) []byte { return []byte{amlByte, v} }

func amlStringValue(s string) []byte {
	return append(append([]byte{amlString}, s...), 0)
}

func amlBufferValue(data []byte) []byte {
	// Sizes from 64 on would need amlWord; a resource template is smaller.
	return append([]byte{amlBuffer}, amlSized(append(amlByteValue(byte(len(data))), data...))...)
}

func amlPackageValue(elements ...[]byte) []byte {
	body := []byte{byte(len(elements))}
	for _, e := range elements {
		body = append(body, e...)
	}
	return append([]byte{amlPackage}, amlSized(body)...)
}

func amlDeviceTerm(name string, terms ...[]byte) []byte {
	return append([]byte{amlExtended, amlDevice}, amlSized(amlNamedTerms(name, terms))...)
}

func amlScopeTerm(name string, terms ...[]byte) []byte {
	return append([]byte{amlScope}, amlSized(amlNamedTerms(name, terms))...)
}

func amlNamedTerms(name string, terms [][]byte) []byte {
	body := []byte(name)
	for _, t := range terms {
		body = append(body, t...)
	}
	return body
}

// eisaID packs an ID such as PNP0501: three letters of 5 bits, four hexadecimal
// digits, all of it big-endian.
func eisaID(product uint16) []byte {
	const pnp = ('P'-'@')<<10 | ('N'-'@')<<5 | ('P' - '@')
	b := binary.BigEndian.AppendUint16([]byte{amlDWord}, pnp)
	return binary.BigEndian.AppendUint16(b, product)
}

// Resource descriptors (chapter 6.4).

func resourcePorts(first uint16, count byte) []byte {
	b := []byte{0x47, 1} // decodes all 16 bits
	b = binary.LittleEndian.AppendUint16(b, first)
	b = binary.LittleEndian.AppendUint16(b, first)
	return append(b, 1, count)
}

// resourceISAInterrupt is edge-triggered and active high.
func resourceISAInterrupt(irq int) []byte {
	return binary.LittleEndian.AppendUint16([]byte{0x22}, 1<<irq)
}

// resourceInterrupt is edge-triggered, active high and not shared.
func resourceInterrupt(gsi int) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x89, 6, 0, 0x03, 1}, uint32(gsi))
}

func resourceMemory(base, lenBytes uint32) []byte {
	b := []byte{0x86, 9, 0, 1} // writable
	b = binary.LittleEndian.AppendUint32(b, base)
	return binary.LittleEndian.AppendUint32(b, lenBytes)
}

// amlResources is the _CRS of a device.
func amlResources(descriptors ...[]byte) []byte {
	var all []byte
	for _, d := range descriptors {
		all = append(all, d...)
	}
	return amlNamed("_CRS", amlBufferValue(append(all, 0x79, 0)))
}

package boot

import (
	"encoding/binary"
	"fmt"
)

// Byte offsets in the zero page (Documentation/arch/x86/zero-page.rst; the
// setup header from 0x1f1 on in boot.rst).
const (
	zeroPageBytes = 4096

	zpRSDPAddr     = 0x070
	zpE820Count    = 0x1e8
	zpSetupHeader  = 0x1f1
	zpBootFlag     = 0x1fe
	zpMagic        = 0x202
	zpVersion      = 0x206
	zpLoaderType   = 0x210
	zpLoadFlags    = 0x211
	zpInitrdAddr   = 0x218
	zpInitrdBytes  = 0x21c
	zpCommandLine  = 0x228
	zpInitrdMax    = 0x22c
	zpAlignment    = 0x230
	zpCommandLimit = 0x238
	zpHeaderEnd    = 0x290
	zpE820Table    = 0x2d0
)

const (
	bootFlag       = 0xaa55
	headerMagic    = "HdrS"
	loaderUnknown  = 0xff // no number was assigned to this loader
	flagLoadedHigh = 1 << 0
	// synthesizedVersion is the protocol version in zero pages of kernels that
	// bring no setup header.
	synthesizedVersion = 0x020f
)

// Types of memory in the e820 map.
const (
	e820RAM      = 1
	e820Reserved = 2
)

type e820Entry struct {
	addr, lenBytes uint64
	kind           uint32
}

// e820Map says where RAM is. The last KiB of the 640 and everything from there
// to 1 MiB is RAM too, but holds tables that a guest should keep.
func e820Map(memoryBytes int64) []e820Entry {
	entries := []e820Entry{
		{0, mpTableAddr, e820RAM},
		{mpTableAddr, highMemoryAddr - mpTableAddr, e820Reserved},
		{highMemoryAddr, lowRAMEnd(memoryBytes) - highMemoryAddr, e820RAM},
	}
	if beyond := memoryBytes - LowMemoryEnd; beyond > 0 {
		entries = append(entries, e820Entry{HighMemoryStart, uint64(beyond), e820RAM})
	}
	return entries
}

// encodeZeroPage returns the zero page for a kernel. Its setup header is the
// image's own, where it has one, with the loader's fields filled in.
func encodeZeroPage(memoryBytes int64, k kernel, initrd span, commandLineBytes int) ([]byte, error) {
	le := binary.LittleEndian
	b := make([]byte, zeroPageBytes)
	copy(b[zpSetupHeader:zpHeaderEnd], k.setupHeader)
	if k.setupHeader == nil {
		synthesizeHeader(b)
	}
	if limit := le.Uint32(b[zpCommandLimit:]); uint64(commandLineBytes) > uint64(limit) {
		return nil, fmt.Errorf("command line of %d bytes, the kernel takes %d: %w", commandLineBytes, limit, ErrDoesNotFit)
	}
	b[zpLoaderType] = loaderUnknown
	le.PutUint32(b[zpCommandLine:], commandLineAddr)
	le.PutUint32(b[zpInitrdAddr:], uint32(initrd.start))
	le.PutUint32(b[zpInitrdBytes:], uint32(initrd.lenBytes()))
	le.PutUint64(b[zpRSDPAddr:], acpiAddr)
	entries := e820Map(memoryBytes)
	b[zpE820Count] = byte(len(entries))
	for i, e := range entries {
		entry := b[zpE820Table+20*i:]
		le.PutUint64(entry, e.addr)
		le.PutUint64(entry[8:], e.lenBytes)
		le.PutUint32(entry[16:], e.kind)
	}
	return b, nil
}

// synthesizeHeader writes the setup header of a kernel that has none.
func synthesizeHeader(b []byte) {
	le := binary.LittleEndian
	le.PutUint16(b[zpBootFlag:], bootFlag)
	copy(b[zpMagic:], headerMagic)
	le.PutUint16(b[zpVersion:], synthesizedVersion)
	b[zpLoadFlags] = flagLoadedHigh
	le.PutUint32(b[zpInitrdMax:], maxInitrdAddr)
	le.PutUint32(b[zpAlignment:], hugePageBytes)
	le.PutUint32(b[zpCommandLimit:], maxCommandLineBytes)
}

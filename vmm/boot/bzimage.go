package boot

import (
	"encoding/binary"
	"fmt"
)

// Fields of the setup header that only a loader needs.
const (
	shSetupSectors = 0x1f1
	shJump         = 0x201 // second byte of a jump over the header
	shXLoadFlags   = 0x236
	shPrefAddress  = 0x258
	shInitBytes    = 0x260

	sectorBytes = 512
	// entry64Offset is where a kernel is entered in 64-bit mode.
	entry64Offset = 0x200
	// minProtocol is the first version that says (in xloadflags) whether there is
	// a 64-bit entry.
	minProtocol = 0x020c
	hasEntry64  = 1 << 0
)

// loadBzImage loads what is behind the real-mode code to where it wants to run,
// so that it need not move itself.
func (f *kernelFile) loadBzImage(header []byte) (kernel, error) {
	le := binary.LittleEndian
	if err := checkSetupHeader(header); err != nil {
		return kernel{}, err
	}
	setupSectors := int64(header[shSetupSectors])
	if setupSectors == 0 {
		setupSectors = 4 // as very old kernels mean it
	}
	codeOff := (setupSectors + 1) * sectorBytes
	codeBytes := f.fileBytes - codeOff
	if codeBytes <= entry64Offset {
		return kernel{}, fmt.Errorf("%d bytes, with %d of setup nothing is left to run: %w", f.fileBytes, codeOff, ErrNotKernel)
	}
	start := le.Uint64(header[shPrefAddress:])
	if start == 0 {
		start = highMemoryAddr
	}
	needs, err := f.runSpan(start, max(uint64(codeBytes), uint64(le.Uint32(header[shInitBytes:]))))
	if err != nil {
		return kernel{}, err
	}
	if err := f.fill(codeOff, span{start, start + uint64(codeBytes)}); err != nil {
		return kernel{}, err
	}
	return kernel{
		entry: start + entry64Offset, needs: needs, setupHeader: setupHeader(header),
		initrdLimit: uint64(le.Uint32(header[zpInitrdMax:])),
	}, nil
}

// runSpan checks that the kernel has room to unpack itself.
func (f *kernelFile) runSpan(start, lenBytes uint64) (span, error) {
	if start < highMemoryAddr || start > f.ramEnd || lenBytes > f.ramEnd-start {
		return span{}, fmt.Errorf("the kernel runs at %#x and needs %d bytes there, RAM is at %#x to %#x: %w",
			start, lenBytes, highMemoryAddr, f.ramEnd, ErrDoesNotFit)
	}
	return span{start, start + lenBytes}, nil
}

func checkSetupHeader(header []byte) error {
	le := binary.LittleEndian
	if flag := le.Uint16(header[zpBootFlag:]); flag != bootFlag {
		return fmt.Errorf("boot flag %#x at 0x1fe: %w", flag, ErrNotKernel)
	}
	if version := le.Uint16(header[zpVersion:]); version < minProtocol {
		return fmt.Errorf("boot protocol %d.%02d, needed is 2.12: %w", version>>8, version&0xff, ErrNotKernel)
	}
	if le.Uint16(header[shXLoadFlags:])&hasEntry64 == 0 {
		return fmt.Errorf("no 64-bit entry (xloadflags at 0x236): %w", ErrNotKernel)
	}
	if header[zpLoadFlags]&flagLoadedHigh == 0 {
		return fmt.Errorf("loads below 1 MiB, a zImage: %w", ErrNotKernel)
	}
	if end := setupHeaderEnd(header); end < shInitBytes+4 {
		return fmt.Errorf("setup header ends at %#x, within its fields: %w", end, ErrNotKernel)
	}
	return nil
}

// setupHeader cuts the header out.
func setupHeader(header []byte) []byte {
	return header[zpSetupHeader:setupHeaderEnd(header)]
}

// setupHeaderEnd is where a jump over the header leads: its length is told so.
func setupHeaderEnd(header []byte) int {
	return min(zpMagic+int(header[shJump]), zpHeaderEnd)
}

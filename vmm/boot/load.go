package boot

import (
	"fmt"
	"strings"
)

// Memory is a guest's memory. Slice returns bytes to read, SliceForWrite bytes
// that are about to be written; both fail where there is no RAM.
type Memory interface {
	Slice(gpa uint64, lenBytes int) ([]byte, error)
	SliceForWrite(gpa uint64, lenBytes int) ([]byte, error)
}

// Options say what to boot. Exactly one of Kernel and Flat is set.
type Options struct {
	// Kernel is the path of a bzImage or of a 64-bit ELF file.
	Kernel string
	// Flat is 64-bit code that is loaded at 1 MiB and entered at its first byte.
	Flat []byte
	// Initrd is the path of an initial RAM disk, empty for none.
	Initrd string
	// CommandLine is for the kernel; at most 2047 bytes, no NUL.
	CommandLine string
	// VCPUCount is the number of CPUs, 1 to MaxVCPUs.
	VCPUCount int
	// VirtioCount is the number of virtio-mmio devices: at VirtioBase and
	// behind, with interrupts from VirtioIRQ on. Guests find them by ACPI; see
	// also VirtioParameter.
	VirtioCount int
	// MemoryBytes is the size of all RAM of the guest.
	MemoryBytes int64
}

// kernel is an image in guest memory.
type kernel struct {
	// entry is the address of the first instruction.
	entry uint64
	// needs is memory that belongs to the kernel when it starts: what was
	// loaded, and what it unpacks itself to.
	needs span
	// setupHeader is what the zero page has from 0x1f1 on, nil if the image
	// brings nothing of the kind.
	setupHeader []byte
	// initrdLimit is the first address behind which an initrd must not reach.
	initrdLimit uint64
}

// span is a range of guest physical addresses; end is the first one behind it.
type span struct{ start, end uint64 }

func (s span) lenBytes() uint64 { return s.end - s.start }

// VirtioParameter is the parameter by which kernels that were built for it
// (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES) find the n-th virtio device without ACPI.
func VirtioParameter(n int) string {
	return fmt.Sprintf("virtio_mmio.device=4K@%#x:%d", VirtioBase+n*VirtioStride, VirtioIRQ+n)
}

// Load places a kernel and all it needs into guest memory that is zero, and
// returns the state of the first CPU.
func Load(mem Memory, opt Options) (Entry, error) {
	if err := opt.check(); err != nil {
		return Entry{}, err
	}
	k, err := loadKernel(mem, opt)
	if err != nil {
		return Entry{}, err
	}
	initrd, err := loadInitrd(mem, opt, k)
	if err != nil {
		return Entry{}, err
	}
	zeroPage, err := encodeZeroPage(opt.MemoryBytes, k, initrd, len(opt.CommandLine))
	if err != nil {
		return Entry{}, err
	}
	if err := placeTables(mem, opt, zeroPage); err != nil {
		return Entry{}, err
	}
	return newEntry(k.entry), nil
}

func loadKernel(mem Memory, opt Options) (kernel, error) {
	if opt.Kernel == "" {
		return loadFlat(mem, opt)
	}
	return loadKernelFile(mem, opt)
}

// loadFlat copies a flat image to 1 MiB.
func loadFlat(mem Memory, opt Options) (kernel, error) {
	needs := span{highMemoryAddr, highMemoryAddr + uint64(len(opt.Flat))}
	if needs.end > lowRAMEnd(opt.MemoryBytes) {
		return kernel{}, fmt.Errorf("flat image of %d bytes at %#x, RAM ends at %#x: %w",
			len(opt.Flat), needs.start, lowRAMEnd(opt.MemoryBytes), ErrDoesNotFit)
	}
	if err := place(mem, needs.start, opt.Flat); err != nil {
		return kernel{}, err
	}
	return kernel{entry: needs.start, needs: needs, initrdLimit: maxInitrdAddr}, nil
}

// placeTables writes what is below 1 MiB.
func placeTables(mem Memory, opt Options, zeroPage []byte) error {
	for _, part := range []struct {
		addr uint64
		data []byte
	}{
		{gdtAddr, encodeGDT()},
		{zeroPageAddr, zeroPage},
		{pageTablesAddr, encodePageTables()},
		{commandLineAddr, append([]byte(opt.CommandLine), 0)},
		{mpTableAddr, encodeMPTable(opt.VCPUCount)},
		{acpiAddr, encodeACPI(opt)},
		{resetVectorAddr, resetVector},
	} {
		if err := place(mem, part.addr, part.data); err != nil {
			return err
		}
	}
	return nil
}

func place(mem Memory, addr uint64, data []byte) error {
	target, err := mem.SliceForWrite(addr, len(data))
	if err != nil {
		return fmt.Errorf("placing %d bytes at %#x: %w: %w", len(data), addr, ErrDoesNotFit, err)
	}
	copy(target, data)
	return nil
}

func (o *Options) check() error {
	switch {
	case (o.Kernel == "") == (len(o.Flat) == 0):
		return fmt.Errorf("either a kernel or a flat image: %w", ErrOption)
	case o.MemoryBytes <= highMemoryAddr:
		return fmt.Errorf("guest memory of %d bytes, a guest has more than %d: %w", o.MemoryBytes, highMemoryAddr, ErrDoesNotFit)
	case o.VCPUCount < 1 || o.VCPUCount > MaxVCPUs:
		return fmt.Errorf("%d CPUs, a guest has 1 to %d: %w", o.VCPUCount, MaxVCPUs, ErrDoesNotFit)
	case o.VirtioCount < 0 || o.VirtioCount > MaxVirtioDevices:
		return fmt.Errorf("%d virtio devices, a guest has at most %d: %w", o.VirtioCount, MaxVirtioDevices, ErrDoesNotFit)
	case len(o.CommandLine) > maxCommandLineBytes:
		return fmt.Errorf("command line of %d bytes, Linux takes %d: %w", len(o.CommandLine), maxCommandLineBytes, ErrDoesNotFit)
	case strings.ContainsRune(o.CommandLine, 0):
		return fmt.Errorf("command line with a NUL byte: %w", ErrOption)
	}
	return nil
}

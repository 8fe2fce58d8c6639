package boot

// Guest physical addresses. What is below 1 MiB is placed by this package, what
// is above the hole by the machine; MP table and DSDT describe both.
const (
	gdtAddr         = 0x500
	zeroPageAddr    = 0x7000
	stackAddr       = 0x8ff0 // grows down, between zero page and page tables
	pageTablesAddr  = 0x9000
	commandLineAddr = 0x20000
	mpTableAddr     = 0x9fc00 // where kernels look: the last KiB of 640
	acpiAddr        = 0xe0000 // where kernels look: from here to 1 MiB
	resetVectorAddr = 0xffff0 // where a PC's firmware begins
	highMemoryAddr  = 0x100000

	// LowMemoryEnd is where the hole below 4 GiB begins: guest memory beyond it
	// continues at HighMemoryStart.
	LowMemoryEnd = 3 << 30
	// HighMemoryStart is the end of the hole.
	HighMemoryStart = 4 << 30

	// VirtioBase is where the first virtio-mmio device is; the others follow,
	// VirtioStride apart.
	VirtioBase = 0xd0000000
	// VirtioStride is the size of a virtio-mmio device's window.
	VirtioStride = 0x1000
	// VirtioIRQ is the interrupt of the first virtio-mmio device; the others
	// follow.
	VirtioIRQ = 5

	localAPICAddr = 0xfee00000
	ioAPICAddr    = 0xfec00000
	ioAPICPins    = 24

	// PowerPort is where a machine puts the two registers by which a guest
	// turns it off, as the ACPI tables say: sleep control and sleep status.
	PowerPort = 0x600
)

// MaxVCPUs is the largest number of CPUs that the MP table has room for.
const MaxVCPUs = 32

// MaxVirtioDevices is how many virtio devices have an interrupt of their own.
const MaxVirtioDevices = ioAPICPins - VirtioIRQ

// maxCommandLineBytes is the longest command line: Linux takes no more.
const maxCommandLineBytes = 2047

// lowRAMEnd is the end of RAM below the hole.
func lowRAMEnd(memoryBytes int64) uint64 {
	return uint64(min(memoryBytes, LowMemoryEnd))
}

package boot

import "encoding/binary"

// Entry is the state in which the first CPU starts. What it does not name is
// zero, or as it is after a reset.
type Entry struct {
	RIP, RSI, RSP uint64
	RFLAGS        uint64
	CR0, CR3, CR4 uint64
	EFER          uint64
	GDTBase       uint64
	GDTLimit      uint16
	// Code is for CS, Data for DS, ES, FS, GS and SS, Task for TR, each already
	// loaded. The IDT is empty: until the guest has one, an exception is a triple
	// fault.
	Code, Data, Task Segment
}

// Segment is a segment register with what the CPU keeps of its descriptor.
type Segment struct {
	Base     uint64
	Limit    uint32 // in bytes, granularity already applied
	Selector uint16
	Type     uint8 // of the descriptor, 4 bits
	// The bits of the descriptor, each 0 or 1 but for DPL.
	Present, DPL, DB, S, L, G, Available uint8
}

const (
	cr0 = 0x80000033 // PG, NE, ET, MP, PE
	cr4 = 0x20       // PAE
	// efer has LME and LMA: long mode is on, not merely allowed.
	efer = 0x500
	// rflags has nothing but the bit that is always set: interrupts are off.
	rflags = 0x2
)

// Selectors that the boot protocol prescribes (__BOOT_CS, __BOOT_DS), and the
// one behind them.
const (
	codeSelector = 0x10
	dataSelector = 0x18
	taskSelector = 0x20
)

var (
	codeSegment = Segment{Selector: codeSelector, Limit: 0xffffffff, Type: 0xb, Present: 1, S: 1, L: 1, G: 1}
	dataSegment = Segment{Selector: dataSelector, Limit: 0xffffffff, Type: 0x3, Present: 1, S: 1, DB: 1, G: 1}
	// taskSegment is a busy 64-bit TSS: VT-x enters no guest without one.
	taskSegment = Segment{Selector: taskSelector, Limit: 0x67, Type: 0xb, Present: 1}
)

// gdtEntries is the size of the GDT: two unused, code, data, and a task segment,
// whose descriptor takes two.
const gdtEntries = 6

func newEntry(rip uint64) Entry {
	return Entry{
		RIP: rip, RSI: zeroPageAddr, RSP: stackAddr, RFLAGS: rflags,
		CR0: cr0, CR3: pageTablesAddr, CR4: cr4, EFER: efer,
		GDTBase: gdtAddr, GDTLimit: gdtEntries*8 - 1,
		Code: codeSegment, Data: dataSegment, Task: taskSegment,
	}
}

// descriptor is the segment as a GDT has it.
func (s Segment) descriptor() uint64 {
	limit := uint64(s.Limit)
	if s.G == 1 {
		limit >>= 12
	}
	access := uint64(s.Type) | uint64(s.S)<<4 | uint64(s.DPL)<<5 | uint64(s.Present)<<7
	flags := uint64(s.Available) | uint64(s.L)<<1 | uint64(s.DB)<<2 | uint64(s.G)<<3
	return limit&0xffff | s.Base&0xffffff<<16 | access<<40 |
		limit>>16&0xf<<48 | flags<<52 | s.Base>>24&0xff<<56
}

func encodeGDT() []byte {
	b := make([]byte, gdtEntries*8)
	for _, s := range []Segment{codeSegment, dataSegment, taskSegment} {
		binary.LittleEndian.PutUint64(b[s.Selector:], s.descriptor())
	}
	return b
}

const (
	pageTableBytes = 4096
	pageTableCount = 6 // one PML4, one PDPT, a page directory per GiB
	hugePageBytes  = 2 << 20

	pagePresentWritable = 0x3
	pageHuge            = 0x80
)

// encodePageTables maps the first 4 GiB to themselves.
func encodePageTables() []byte {
	le := binary.LittleEndian
	b := make([]byte, pageTableCount*pageTableBytes)
	le.PutUint64(b, pageTablesAddr+pageTableBytes|pagePresentWritable)
	directories := b[2*pageTableBytes:]
	for gib := range uint64(4) {
		directory := pageTablesAddr + (2+gib)*pageTableBytes
		le.PutUint64(b[pageTableBytes+gib*8:], directory|pagePresentWritable)
	}
	for i := range uint64(len(directories) / 8) {
		le.PutUint64(directories[i*8:], i*hugePageBytes|pagePresentWritable|pageHuge)
	}
	return b
}

// resetVector is 16-bit code: it resets the CPU by the keyboard controller, and
// waits for that.
var resetVector = []byte{
	0xb0, resetValue, // mov al, 0xfe
	0xe6, resetPort, // out 0x64, al
	0xfa,       // cli
	0xf4,       // hlt
	0xeb, 0xfd, // jmp to the hlt
}

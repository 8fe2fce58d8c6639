package boot

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func flatOptions(sizeBytes int) Options {
	return Options{Flat: []byte{0xf4, 0xeb, 0xfd}, CommandLine: "mib=32", VCPUCount: 1, MemoryBytes: int64(sizeBytes)}
}

func TestFlat(t *testing.T) {
	mem := newRAM(2 << 20)
	entry, err := Load(mem, flatOptions(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	if entry.RIP != 0x100000 || entry.RSI != 0x7000 || entry.CR3 != 0x9000 || entry.RFLAGS != 2 {
		t.Errorf("entry %+v", entry)
	}
	mem.wantAt(t, "image", 0x100000, []byte{0xf4, 0xeb, 0xfd, 0})
	mem.wantAt(t, "command line", 0x20000, []byte("mib=32\x00\x00"))
	mem.wantAt(t, "reset vector", 0xffff0, []byte{0xb0, 0xfe, 0xe6, 0x64, 0xfa, 0xf4, 0xeb, 0xfd})
	zeroPage := mem.at(t, entry.RSI, 4096)
	if got := binary.LittleEndian.Uint32(zeroPage[0x228:]); got != 0x20000 {
		t.Errorf("command line pointer %#x", got)
	}
	mem.wantZero(t, 0, 0x500)
	mem.wantZero(t, entry.RSP-0xff0, entry.RSP) // the stack
	mem.wantZero(t, 0x21000, 0x9fc00)
	mem.wantZero(t, 0x100003, 2<<20)
}

// The stack is aligned as the System V ABI has it and lies in nothing else.
func TestStack(t *testing.T) {
	if stackAddr%16 != 0 || stackAddr < zeroPageAddr+zeroPageBytes || stackAddr > pageTablesAddr {
		t.Errorf("stack at %#x", stackAddr)
	}
}

// A walk of the page tables, as the CPU does it, leads every address to itself.
func TestPageTables(t *testing.T) {
	mem := newRAM(2 << 20)
	entry, err := Load(mem, flatOptions(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	next := func(table, index uint64) uint64 { return le.Uint64(mem.at(t, table+index*8, 8)) }
	for addr := uint64(0x1234); addr < 4<<30; addr += 1 << 20 {
		pml4 := next(entry.CR3, addr>>39)
		pdpt := next(pml4&^0xfff, addr>>30&0x1ff)
		pd := next(pdpt&^0xfff, addr>>21&0x1ff)
		if pml4&3 != 3 || pdpt&3 != 3 || pd&0x83 != 0x83 {
			t.Fatalf("%#x: entries %#x %#x %#x", addr, pml4, pdpt, pd)
		}
		if got := pd&^0x1fffff | addr&0x1fffff; got != addr {
			t.Fatalf("%#x is mapped to %#x", addr, got)
		}
	}
	if next(entry.CR3, 1) != 0 || next(entry.CR3+4096, 4) != 0 {
		t.Error("more than 4 GiB are mapped")
	}
}

// The descriptors in memory are the ones that the segment registers hold.
func TestGDT(t *testing.T) {
	mem := newRAM(2 << 20)
	entry, err := Load(mem, flatOptions(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		segment    Segment
		selector   uint16
		descriptor uint64
	}{
		{entry.Code, 0x10, 0x00af9b000000ffff},
		{entry.Data, 0x18, 0x00cf93000000ffff},
		{entry.Task, 0x20, 0x00008b0000000067},
	} {
		if c.segment.Selector != c.selector {
			t.Errorf("selector %#x, expected %#x", c.segment.Selector, c.selector)
		}
		inMemory := binary.LittleEndian.Uint64(mem.at(t, entry.GDTBase+uint64(c.selector), 8))
		if inMemory != c.descriptor {
			t.Errorf("descriptor %#x is %#x, expected %#x", c.selector, inMemory, c.descriptor)
		}
	}
	if entry.GDTLimit != 47 {
		t.Errorf("limit %d", entry.GDTLimit)
	}
}

func TestRefusesOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   error
	}{
		"nothing to boot":         {func(o *Options) { o.Flat = nil }, ErrOption},
		"two kernels":             {func(o *Options) { o.Kernel = "vmlinux" }, ErrOption},
		"memory of 1 MiB":         {func(o *Options) { o.MemoryBytes = 1 << 20 }, ErrDoesNotFit},
		"no memory":               {func(o *Options) { o.MemoryBytes = 0 }, ErrDoesNotFit},
		"negative memory":         {func(o *Options) { o.MemoryBytes = -1 }, ErrDoesNotFit},
		"no CPU":                  {func(o *Options) { o.VCPUCount = 0 }, ErrDoesNotFit},
		"more CPUs than room":     {func(o *Options) { o.VCPUCount = MaxVCPUs + 1 }, ErrDoesNotFit},
		"too many virtio devices": {func(o *Options) { o.VirtioCount = MaxVirtioDevices + 1 }, ErrDoesNotFit},
		"no device by half":       {func(o *Options) { o.VirtioCount = -1 }, ErrDoesNotFit},
		"long command line":       {func(o *Options) { o.CommandLine = strings.Repeat("x", 2048) }, ErrDoesNotFit},
		"NUL in command line":     {func(o *Options) { o.CommandLine = "a\x00b" }, ErrOption},
		"image beyond RAM":        {func(o *Options) { o.Flat = make([]byte, 1<<20+1) }, ErrDoesNotFit},
		"less memory than said":   {func(o *Options) { o.Flat = make([]byte, 3<<20); o.MemoryBytes = 8 << 20 }, ErrDoesNotFit},
		"no such initrd":          {func(o *Options) { o.Initrd = "testdata/none" }, errNoFile},
	} {
		opt := flatOptions(2 << 20)
		c.change(&opt)
		_, err := Load(newRAM(2<<20), opt)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, expected %v", name, err, c.want)
		}
	}
}

// What fits exactly is taken.
func TestAtTheLimits(t *testing.T) {
	opt := flatOptions(2 << 20)
	opt.Flat = make([]byte, 1<<20)
	opt.Flat[1<<20-1] = 0x99
	opt.CommandLine = strings.Repeat("x", 2047)
	opt.VCPUCount = MaxVCPUs
	opt.VirtioCount = MaxVirtioDevices
	mem := newRAM(2 << 20)
	if _, err := Load(mem, opt); err != nil {
		t.Fatal(err)
	}
	mem.wantAt(t, "last byte", 2<<20-1, []byte{0x99})
	mem.wantAt(t, "end of the command line", 0x20000+2046, []byte{'x', 0})
	if end := mpTableAddr + len(encodeMPTable(MaxVCPUs)); end > 0xa0000 {
		t.Errorf("MP table ends at %#x", end)
	}
	if end := acpiAddr + len(encodeACPI(opt)); end > resetVectorAddr {
		t.Errorf("ACPI tables end at %#x", end)
	}
}

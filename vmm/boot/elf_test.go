package boot

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

const testELFEntry = 0x200010

// elfKernel makes a kernel of two segments and a note: code, and data with more
// memory than bytes.
func elfKernel(tb testing.TB, change func(h *elf.Header64, segments []elf.Prog64)) []byte {
	tb.Helper()
	const dataOff = 0x200
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: testELFEntry,
		Phoff: elfHeaderBytes, Ehsize: elfHeaderBytes, Phentsize: elfSegmentBytes, Phnum: 3,
	}
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Off: dataOff, Vaddr: 0xffffffff81000000, Paddr: 0x200000, Filesz: 0x100, Memsz: 0x100},
		{Type: uint32(elf.PT_NOTE), Off: 1 << 40, Paddr: 1 << 50, Filesz: 1 << 60, Memsz: 1}, // nobody looks
		{Type: uint32(elf.PT_LOAD), Off: dataOff + 0x100, Paddr: 0x280000, Filesz: 0x80, Memsz: 0x8000},
	}
	change(&h, segments)
	var b bytes.Buffer
	for _, part := range []any{h, segments} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			tb.Fatal(err)
		}
	}
	image := append(b.Bytes(), make([]byte, dataOff-b.Len())...)
	image = append(image, bytes.Repeat([]byte{0xc0}, 0x100)...)
	return append(image, bytes.Repeat([]byte{0xda}, 0x80)...)
}

func unchanged(*elf.Header64, []elf.Prog64) {}

func elfOptions(tb testing.TB, image []byte) Options {
	tb.Helper()
	opt := bzOptions(tb, image)
	opt.MemoryBytes = 4 << 20
	return opt
}

func TestELF(t *testing.T) {
	mem := newRAM(4 << 20)
	opt := elfOptions(t, elfKernel(t, unchanged))
	opt.Initrd = writeFile(t, "initrd", []byte("disk"))
	entry, err := Load(mem, opt)
	if err != nil {
		t.Fatal(err)
	}
	if entry.RIP != testELFEntry {
		t.Errorf("entered at %#x", entry.RIP)
	}
	mem.wantAt(t, "code", 0x200000, append(bytes.Repeat([]byte{0xc0}, 0x100), 0))
	mem.wantAt(t, "data", 0x280000, append(bytes.Repeat([]byte{0xda}, 0x80), 0))
	mem.wantAt(t, "initrd", 4<<20-4096, []byte("disk\x00"))
	zeroPage := mem.at(t, 0x7000, 4096)
	if binary.LittleEndian.Uint32(zeroPage[0x202:]) != 0x53726448 || zeroPage[0x210] != 0xff ||
		binary.LittleEndian.Uint32(zeroPage[0x218:]) != 4<<20-4096 || binary.LittleEndian.Uint32(zeroPage[0x21c:]) != 4 {
		t.Errorf("setup header %x", zeroPage[0x1f1:0x23c])
	}
}

func TestELFRefused(t *testing.T) {
	type header = elf.Header64
	type segments = []elf.Prog64
	for name, c := range map[string]struct {
		change func(h *header, s segments)
		want   error
	}{
		"32 bits":          {func(h *header, _ segments) { h.Ident[elf.EI_CLASS] = 1 }, ErrNotKernel},
		"big-endian":       {func(h *header, _ segments) { h.Ident[elf.EI_DATA] = 2 }, ErrNotKernel},
		"ARM":              {func(h *header, _ segments) { h.Machine = uint16(elf.EM_AARCH64) }, ErrNotKernel},
		"object file":      {func(h *header, _ segments) { h.Type = uint16(elf.ET_REL) }, ErrNotKernel},
		"no segments":      {func(h *header, _ segments) { h.Phnum = 0 }, ErrNotKernel},
		"many segments":    {func(h *header, _ segments) { h.Phnum = 65 }, ErrNotKernel},
		"long headers":     {func(h *header, _ segments) { h.Phentsize = 57 }, ErrNotKernel},
		"headers far away": {func(h *header, _ segments) { h.Phoff = 1 << 63 }, ErrNotKernel},
		"headers at end":   {func(h *header, _ segments) { h.Phoff = 0x380 - 56 }, ErrNotKernel},
		"entry before":     {func(h *header, _ segments) { h.Entry = 0x1fffff }, ErrNotKernel},
		"entry behind":     {func(h *header, _ segments) { h.Entry = 0x288000 }, ErrNotKernel},
		"virtual entry":    {func(h *header, _ segments) { h.Entry = 0xffffffff81000000 }, ErrNotKernel},
		"nothing to load":  {func(_ *header, s segments) { s[0].Type, s[2].Type = 4, 4 }, ErrNotKernel},
		"more in file":     {func(_ *header, s segments) { s[0].Filesz = 0x101 }, ErrNotKernel},
		"bytes cut off":    {func(_ *header, s segments) { s[2].Filesz = 0x81 }, ErrNotKernel},
		"bytes far away":   {func(_ *header, s segments) { s[2].Off = 1 << 63 }, ErrNotKernel},
		"below 1 MiB":      {func(_ *header, s segments) { s[0].Paddr = 0xfffff }, ErrDoesNotFit},
		"beyond RAM":       {func(_ *header, s segments) { s[2].Memsz = 4<<20 - 0x280000 + 1 }, ErrDoesNotFit},
		"wraps around":     {func(_ *header, s segments) { s[2].Paddr, s[2].Memsz = 0x200000, ^uint64(0) }, ErrDoesNotFit},
		"at the last byte": {func(_ *header, s segments) { s[2].Paddr = ^uint64(0) }, ErrDoesNotFit},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(newRAM(4<<20), elfOptions(t, elfKernel(t, c.change)))
			wantError(t, err, c.want)
		})
	}
	t.Run("header cut off", func(t *testing.T) {
		_, err := Load(newRAM(4<<20), elfOptions(t, elfKernel(t, unchanged)[:63]))
		wantError(t, err, ErrNotKernel)
	})
}

package guest_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"sabrefs/vmm/guest"
)

// QEMU enters an ELF kernel in 32-bit protected mode (PVH). What a loader of
// 64-bit kernels prepares is put into the file, above the memory that the e820
// table shows to the guest; a few instructions go from there to long mode.
const (
	wrapperBytes   = 64 << 10
	wrapperGDT     = 0x1000
	wrapperZero    = 0x2000 // zero page
	wrapperCommand = 0x3000
	wrapperPML4    = 0x4000 // then the PDPT and four page directories
)

// wrapper prepares memory from base on.
func wrapper(base uint32, commandLine string) []byte {
	w := make([]byte, wrapperBytes)
	copy(w, wrapperCode(base))
	le := binary.LittleEndian
	le.PutUint64(w[wrapperGDT+0x10:], 0x00af9b000000ffff)
	le.PutUint64(w[wrapperGDT+0x18:], 0x00cf93000000ffff)
	le.PutUint16(w[wrapperGDT+0x40:], 0x1f)
	le.PutUint32(w[wrapperGDT+0x42:], base+wrapperGDT)
	le.PutUint32(w[wrapperZero+0x228:], base+wrapperCommand)
	copy(w[wrapperCommand:], commandLine)
	e820 := [][3]uint64{{0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {1 << 20, uint64(base) - 1<<20, 1}}
	w[wrapperZero+0x1e8] = byte(len(e820))
	for i, entry := range e820 {
		le.PutUint64(w[wrapperZero+0x2d0+20*i:], entry[0])
		le.PutUint64(w[wrapperZero+0x2d8+20*i:], entry[1])
		le.PutUint32(w[wrapperZero+0x2e0+20*i:], uint32(entry[2]))
	}
	tables := base + wrapperPML4
	le.PutUint64(w[wrapperPML4:], uint64(tables+0x1000)|3)
	for gib := range uint32(4) {
		le.PutUint64(w[wrapperPML4+0x1000+8*gib:], uint64(tables+0x2000+0x1000*gib)|3)
	}
	for page := range uint64(2048) {
		le.PutUint64(w[wrapperPML4+0x2000+8*page:], page<<21|0x83)
	}
	return w
}

// wrapperCode goes to long mode and to the guest.
func wrapperCode(base uint32) []byte {
	var code bytes.Buffer
	add := func(opcode string, operand ...uint32) {
		code.WriteString(opcode)
		for _, value := range operand {
			code.Write(binary.LittleEndian.AppendUint32(nil, value))
		}
	}
	add("\xfa")                               // cli
	add("\xb8", base+wrapperPML4)             // mov eax, pml4
	add("\x0f\x22\xd8")                       // mov cr3, eax
	add("\xb8", 0x20)                         // mov eax, PAE
	add("\x0f\x22\xe0")                       // mov cr4, eax
	add("\xb9", 0xc0000080)                   // mov ecx, EFER
	add("\xb8", 0x100)                        // mov eax, LME
	add("\x31\xd2\x0f\x30")                   // xor edx, edx; wrmsr
	add("\x0f\x01\x15", base+wrapperGDT+0x40) // lgdt
	add("\xb8", 0x80000011)                   // mov eax, PG|ET|PE
	add("\x0f\x22\xc0")                       // mov cr0, eax
	add("\xea", base+uint32(code.Len())+7)    // jmp 0x10:next
	add("\x10\x00")
	add("\xbe", base+wrapperZero)  // next: mov esi, zero page
	add("\xb8", guest.LoadAddress) // mov eax, image
	add("\xff\xe0")                // jmp rax
	return code.Bytes()
}

// kernelFile is an ELF file that QEMU takes as -kernel: the image, the wrapper
// at base, and a note that says where to enter.
func kernelFile(tb testing.TB, base uint32, commandLine string) []byte {
	tb.Helper()
	const headersBytes, elfNote, elfLoad = 64 + 3*56, 4, 1
	note := []byte("\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00Xen\x00") // XEN_ELFNOTE_PHYS32_ENTRY
	note = binary.LittleEndian.AppendUint32(note, base)
	image := guest.Image()
	imageOff := headersBytes + len(note)
	wrapperOff := imageOff + len(image)

	file := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	put := func(values ...any) {
		for _, value := range values {
			var err error
			if file, err = binary.Append(file, binary.LittleEndian, value); err != nil {
				tb.Fatal(err)
			}
		}
	}
	put(uint16(2), uint16(62), uint32(1), uint64(base), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(3), uint16(0), uint16(0), uint16(0))
	segment := func(kind uint32, fileOff int, address uint64, lenBytes int) {
		put(kind, uint32(7), uint64(fileOff), address, address, uint64(lenBytes), uint64(lenBytes), uint64(4))
	}
	segment(elfNote, headersBytes, 0, len(note))
	segment(elfLoad, imageOff, guest.LoadAddress, len(image))
	segment(elfLoad, wrapperOff, uint64(base), wrapperBytes)
	file = append(file, note...)
	file = append(file, image...)
	return append(file, wrapper(base, commandLine)...)
}

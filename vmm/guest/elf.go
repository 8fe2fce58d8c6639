package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// The parts of the ELF file: its header, one program header, the image.
const (
	elfHeaderBytes  = 64 // Elf64_Ehdr
	elfProgramBytes = 56 // Elf64_Phdr
	elfImageOff     = elfHeaderBytes + elfProgramBytes
)

// ELF returns the image as a kernel in the form of vmlinux: an ELF file whose only
// segment is loaded at [LoadAddress] and entered at its first byte. It is for monitors
// that take a kernel by its path; any that follow the 64-bit Linux boot protocol boot it.
func ELF() []byte {
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Entry: LoadAddress,
		Phoff: elfHeaderBytes, Ehsize: elfHeaderBytes, Phentsize: elfProgramBytes, Phnum: 1,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	size := uint64(len(image))
	program := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X), Off: elfImageOff,
		Vaddr: LoadAddress, Paddr: LoadAddress, Filesz: size, Memsz: size,
	}
	var file bytes.Buffer
	for _, part := range []any{header, program, image} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			panic(err) //nolint:forbidigo // all parts have a fixed size, and a buffer takes them
		}
	}
	return file.Bytes()
}

package boot

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	elfHeaderBytes  = 64
	elfSegmentBytes = 56
)

// readELFHeader reads the header and checks that it is of a program for this
// machine. Package debug/elf would read sections too, which a kernel need not
// have and which are of no use here.
func (f *kernelFile) readELFHeader() (h elf.Header64, err error) {
	if err := f.readStruct(0, elfHeaderBytes, &h); err != nil {
		return h, fmt.Errorf("ELF header: %w", err)
	}
	switch {
	case elf.Class(h.Ident[elf.EI_CLASS]) != elf.ELFCLASS64, elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return h, fmt.Errorf("ELF, but not 64-bit little-endian: %w", ErrNotKernel)
	case elf.Machine(h.Machine) != elf.EM_X86_64:
		return h, fmt.Errorf("ELF for %v: %w", elf.Machine(h.Machine), ErrNotKernel)
	case elf.Type(h.Type) != elf.ET_EXEC && elf.Type(h.Type) != elf.ET_DYN:
		return h, fmt.Errorf("ELF of %v, not a program: %w", elf.Type(h.Type), ErrNotKernel)
	case h.Phentsize != elfSegmentBytes || h.Phnum == 0 || h.Phnum > maxELFSegments:
		return h, fmt.Errorf("%d program headers of %d bytes, expected 1 to %d of %d: %w",
			h.Phnum, h.Phentsize, maxELFSegments, elfSegmentBytes, ErrNotKernel)
	case h.Phoff > uint64(f.fileBytes):
		return h, fmt.Errorf("program headers at file offset %#x, the file has %d bytes: %w", h.Phoff, f.fileBytes, ErrNotKernel)
	}
	return h, nil
}

func (f *kernelFile) readELFSegment(h elf.Header64, i int) (p elf.Prog64, err error) {
	if err := f.readStruct(int64(h.Phoff)+int64(i)*elfSegmentBytes, elfSegmentBytes, &p); err != nil {
		return p, fmt.Errorf("program header %d: %w", i, err)
	}
	return p, nil
}

// readStruct decodes lenBytes bytes of the file.
func (f *kernelFile) readStruct(fileOff, lenBytes int64, into any) error {
	if fileOff > f.fileBytes-lenBytes {
		return fmt.Errorf("%d bytes at file offset %#x, the file has %d: %w", lenBytes, fileOff, f.fileBytes, ErrNotKernel)
	}
	return binary.Read(io.NewSectionReader(f.File, fileOff, lenBytes), binary.LittleEndian, into)
}

package guest_test

import (
	"bytes"
	"debug/elf"
	"io"
	"testing"

	"sabrefs/vmm/guest"
)

// TestELF reads the file with a reader that is not ours.
func TestELF(t *testing.T) {
	file, err := elf.NewFile(bytes.NewReader(guest.ELF()))
	if err != nil {
		t.Fatal(err)
	}
	if file.Type != elf.ET_EXEC || file.Machine != elf.EM_X86_64 || file.Class != elf.ELFCLASS64 || file.Entry != guest.LoadAddress || len(file.Progs) != 1 {
		t.Fatalf("header %+v, %d segments", file.FileHeader, len(file.Progs))
	}
	segment := file.Progs[0]
	if segment.Type != elf.PT_LOAD || segment.Paddr != guest.LoadAddress || segment.Filesz != segment.Memsz {
		t.Errorf("segment %+v", segment.ProgHeader)
	}
	content, err := io.ReadAll(segment.Open())
	if err != nil || !bytes.Equal(content, guest.Image()) {
		t.Errorf("the segment has %d bytes, not the image: %v", len(content), err)
	}
}

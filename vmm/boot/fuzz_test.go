package boot

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// fuzzRAM is small, so that addresses which lie in it are found soon.
const fuzzRAM = 4 << 20

// Whatever a kernel file says: it is refused, or loaded into RAM above 1 MiB, with
// an entry and all that was loaded inside what it is said to need.
func FuzzKernel(f *testing.F) {
	image := bzImage()
	binary.LittleEndian.PutUint64(image[0x258:], 2<<20)
	binary.LittleEndian.PutUint32(image[0x260:], 1<<20)
	f.Add(image)
	f.Add(elfKernel(f, unchanged))
	f.Add(elfKernel(f, func(h *elf.Header64, s []elf.Prog64) { h.Phnum = 1; s[0].Memsz = 2 << 20 }))
	path := filepath.Join(f.TempDir(), "kernel")
	mem := newRAM(fuzzRAM)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		clear(mem.bytes) // of the last one, which may have been refused half way
		k, err := loadKernelFile(mem, Options{Kernel: path, MemoryBytes: fuzzRAM})
		if err != nil {
			return
		}
		if k.needs.start < highMemoryAddr || k.needs.end > fuzzRAM {
			t.Fatalf("needs %#x to %#x", k.needs.start, k.needs.end)
		}
		if k.entry < k.needs.start || k.entry >= k.needs.end {
			t.Fatalf("entry %#x, needs %#x to %#x", k.entry, k.needs.start, k.needs.end)
		}
		if _, err := encodeZeroPage(fuzzRAM, k, span{}, 0); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < int(k.needs.start); i += 512 {
			if mem.bytes[i] != 0 {
				t.Fatalf("written to at %#x, needs %#x to %#x", i, k.needs.start, k.needs.end)
			}
		}
	})
}

package boot

import (
	"debug/elf"
	"fmt"
)

const elfMagic = elf.ELFMAG

// maxELFSegments is many times what a kernel has.
const maxELFSegments = 64

// loadELF loads an uncompressed kernel: each segment to its physical address,
// entered at the physical address of its entry.
func (f *kernelFile) loadELF() (kernel, error) {
	header, err := f.readELFHeader()
	if err != nil {
		return kernel{}, err
	}
	k := kernel{entry: header.Entry, needs: span{start: f.ramEnd}, initrdLimit: maxInitrdAddr}
	for i := range int(header.Phnum) {
		segment, err := f.readELFSegment(header, i)
		if err != nil {
			return kernel{}, err
		}
		if elf.ProgType(segment.Type) != elf.PT_LOAD || segment.Memsz == 0 {
			continue
		}
		where, err := f.loadELFSegment(segment)
		if err != nil {
			return kernel{}, fmt.Errorf("segment %d: %w", i, err)
		}
		k.needs = span{min(k.needs.start, where.start), max(k.needs.end, where.end)}
	}
	if k.entry < k.needs.start || k.entry >= k.needs.end {
		return kernel{}, fmt.Errorf("entered at %#x, loaded to %#x to %#x: %w", k.entry, k.needs.start, k.needs.end, ErrNotKernel)
	}
	return k, nil
}

// loadELFSegment returns where the segment is, with the part behind its bytes
// in the file, which is zero.
func (f *kernelFile) loadELFSegment(segment elf.Prog64) (span, error) {
	if segment.Filesz > segment.Memsz {
		return span{}, fmt.Errorf("%d bytes in the file, %d in memory: %w", segment.Filesz, segment.Memsz, ErrNotKernel)
	}
	where, err := f.runSpan(segment.Paddr, segment.Memsz)
	if err != nil || segment.Filesz == 0 {
		return where, err
	}
	return where, f.fill(int64(segment.Off), span{where.start, where.start + segment.Filesz})
}

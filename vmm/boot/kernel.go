package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// kernelFile is a kernel that is being loaded.
type kernelFile struct {
	*os.File
	fileBytes int64
	mem       Memory
	ramEnd    uint64
}

// preambleBytes is what is read to tell what a file is: the whole setup header
// of a bzImage, and an ELF header.
const preambleBytes = 0x290

// loadKernelFile loads a bzImage or an ELF file.
func loadKernelFile(mem Memory, opt Options) (kernel, error) {
	file, fileBytes, err := openFile(opt.Kernel)
	if err != nil {
		return kernel{}, fmt.Errorf("opening kernel: %w", err)
	}
	defer file.Close()
	f := &kernelFile{File: file, fileBytes: fileBytes, mem: mem, ramEnd: lowRAMEnd(opt.MemoryBytes)}
	k, err := f.load()
	if err != nil {
		return kernel{}, fmt.Errorf("loading kernel %s: %w", opt.Kernel, err)
	}
	return k, nil
}

// openFile refuses what is no regular file before it is opened: a pipe might never
// open.
func openFile(path string) (file *os.File, fileBytes int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file (%v): %w", path, info.Mode(), ErrNotFile)
	}
	file, err = os.Open(path)
	return file, info.Size(), err
}

func (f *kernelFile) load() (kernel, error) {
	preamble := make([]byte, preambleBytes)
	count, err := f.ReadAt(preamble, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return kernel{}, err
	}
	preamble = preamble[:count]
	switch {
	case bytes.HasPrefix(preamble, []byte(elfMagic)):
		return f.loadELF()
	case len(preamble) == preambleBytes && string(preamble[zpMagic:zpMagic+4]) == headerMagic:
		return f.loadBzImage(preamble)
	}
	return kernel{}, fmt.Errorf("neither a bzImage (HdrS at 0x202) nor ELF: %w", ErrNotKernel)
}

// fill reads a part of the file to an address.
func (f *kernelFile) fill(fileOff int64, where span) error {
	if where.start < highMemoryAddr || where.end > f.ramEnd || where.end < where.start {
		return fmt.Errorf("%#x to %#x, a kernel may lie at %#x to %#x: %w",
			where.start, where.end, highMemoryAddr, f.ramEnd, ErrDoesNotFit)
	}
	if fileOff < 0 || fileOff > f.fileBytes || where.lenBytes() > uint64(f.fileBytes-fileOff) {
		return fmt.Errorf("%d bytes at file offset %#x, the file has %d: %w",
			where.lenBytes(), fileOff, f.fileBytes, ErrNotKernel)
	}
	return readInto(f.mem, f.File, fileOff, where)
}

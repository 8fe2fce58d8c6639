package boot

import (
	"fmt"
	"io"
	"os"
)

const (
	pageBytes = 4096
	// maxInitrdAddr is the last address of an initrd for kernels that name none.
	maxInitrdAddr = 0x7fffffff
)

// loadInitrd reads the initrd to the end of low RAM, in front of what the kernel
// cannot reach and apart from what it needs for itself.
func loadInitrd(mem Memory, opt Options, k kernel) (span, error) {
	if opt.Initrd == "" {
		return span{}, nil
	}
	file, lenBytes, err := openFile(opt.Initrd)
	if err != nil {
		return span{}, fmt.Errorf("opening initrd: %w", err)
	}
	defer file.Close()
	if lenBytes == 0 {
		return span{}, fmt.Errorf("initrd %s is empty: %w", opt.Initrd, ErrOption)
	}
	where, err := initrdSpan(opt.MemoryBytes, k, lenBytes)
	if err != nil {
		return span{}, fmt.Errorf("initrd %s: %w", opt.Initrd, err)
	}
	if err := readInto(mem, file, 0, where); err != nil {
		return span{}, fmt.Errorf("reading initrd %s: %w", opt.Initrd, err)
	}
	return where, nil
}

// initrdSpan finds the highest place for an initrd.
func initrdSpan(memoryBytes int64, k kernel, lenBytes int64) (span, error) {
	top := min(lowRAMEnd(memoryBytes), k.initrdLimit+1)
	bottom := max(k.needs.end, highMemoryAddr)
	if bottom > top || uint64(lenBytes) > top-bottom {
		return span{}, fmt.Errorf("%d bytes between the kernel's end at %#x and %#x: %w",
			lenBytes, bottom, top, ErrDoesNotFit)
	}
	start := (top - uint64(lenBytes)) &^ (pageBytes - 1)
	if start < bottom {
		return span{}, fmt.Errorf("%d bytes, in whole pages, between the kernel's end at %#x and %#x: %w",
			lenBytes, bottom, top, ErrDoesNotFit)
	}
	return span{start, start + uint64(lenBytes)}, nil
}

// readInto fills a span of guest memory from the file.
func readInto(mem Memory, file *os.File, fileOff int64, where span) error {
	target, err := mem.SliceForWrite(where.start, int(where.lenBytes()))
	if err != nil {
		return fmt.Errorf("%d bytes at %#x: %w: %w", where.lenBytes(), where.start, ErrDoesNotFit, err)
	}
	if _, err := io.ReadFull(io.NewSectionReader(file, fileOff, int64(len(target))), target); err != nil {
		return fmt.Errorf("%d bytes at file offset %#x: %w", len(target), fileOff, err)
	}
	return nil
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// heapBegin and heapEnd bound where Go's runtime has its heap on 64-bit systems
	// (runtime/malloc.go: arena hints).
	heapBegin = 0xc000000000
	heapEnd   = 0xc100000000
	// earlyHeapBytes is grown at once, so that the advice reaches what is used later.
	earlyHeapBytes = 64 << 20
)

// heapOnHugePages asks the kernel to back the heap with huge pages. While a guest
// resumes, memory that the daemon uses for the first time costs a page fault for
// each 4 KiB otherwise, and there are hosts on which that takes longer than decoding
// the 4 KiB. It is a wish: where it is not fulfilled, all works as before.
func heapOnHugePages(logger *slog.Logger) {
	early := make([]byte, earlyHeapBytes) // is mapped, but takes no memory
	runtime.KeepAlive(early)
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		logger.Debug("the heap stays on small pages", "err", err)
		return
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		begin, end, ok := heapMapping(lines.Text())
		if !ok {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_HUGEPAGE); errno != 0 {
			err = errors.Join(err, fmt.Errorf("advising on %#x-%#x: %w", begin, end, errno))
		}
	}
	if err = errors.Join(err, lines.Err()); err != nil {
		logger.Debug("part of the heap stays on small pages", "err", err)
	}
}

// heapMapping returns the bounds of a mapping of the heap, from a line of
// /proc/self/maps: "c000000000-c000400000 rw-p 00000000 00:00 0".
func heapMapping(line string) (begin, end uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 5 || fields[1] != "rw-p" && fields[1] != "---p" {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	b, beginErr := strconv.ParseUint(first, 16, 64)
	e, endErr := strconv.ParseUint(last, 16, 64)
	if beginErr != nil || endErr != nil || b < heapBegin || e > heapEnd || b >= e {
		return 0, 0, false
	}
	return uintptr(b), uintptr(e), true
}

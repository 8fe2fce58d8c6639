package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// earlyHeapBytes of the heap are mapped at once and advised to have huge pages.
	earlyHeapBytes = 64 << 20
	// readyHeapBytes of them are made ready: room for the plan of a working set and
	// for some frames.
	readyHeapBytes = 12 << 20
	// heapGrowthPercent lets the runtime keep so much (of 4 MiB, the least that it
	// collects at) instead of giving it back; debug.SetMemoryLimit bounds all.
	heapGrowthPercent = 400
)

// heapOnHugePages has the kernel back the heap with huge pages, and the first of them
// now. While a guest resumes, memory that the daemon uses for the first time costs a
// page fault for each 4 KiB otherwise, and there are hosts on which that takes longer
// than decoding them. It is a wish: where it is not fulfilled, all works as before.
func heapOnHugePages(logger *slog.Logger) {
	debug.SetGCPercent(heapGrowthPercent)
	early := make([]byte, earlyHeapBytes) // takes no memory before it is touched
	if err := unix.Madvise(early, unix.MADV_HUGEPAGE); err != nil {
		logger.Debug("the heap stays on small pages", "err", err)
	}
	for i := 0; i < readyHeapBytes; i += os.Getpagesize() {
		early[i] = 1
	}
	runtime.GC() // so that it is free for others
}

//go:build linux && amd64

package vmm

import (
	"log/slog"
	"sync"

	"sabrefs/vmm/memory"
)

// allOnes is what a bus answers where nobody is.
func allOnes(data []byte) {
	for i := range data {
		data[i] = 0xff
	}
}

// maxNotedPages bounds what a guest can have us log.
const maxNotedPages = 64

// pageNotes remembers which pages were mentioned in the log.
type pageNotes struct {
	mu    sync.Mutex
	noted map[uint64]bool // guarded by mu; at most maxNotedPages
}

// note logs a read of an address where nothing is, once per page.
func (n *pageNotes) note(log *slog.Logger, gpa uint64) {
	page := gpa / memory.PageBytes
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.noted[page] || len(n.noted) >= maxNotedPages {
		return
	}
	if n.noted == nil {
		n.noted = map[uint64]bool{}
	}
	n.noted[page] = true
	log.Warn("guest reads where nothing is", slog.Uint64("guest_physical", gpa))
}

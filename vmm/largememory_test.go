//go:build linux && amd64

package vmm

import (
	"os"
	"runtime"
	"testing"

	"sabrefs/vmm/memory"
)

// TestKVMMemoryBeyondTheHole has a guest write to its last gigabyte, which lies
// beyond the hole for devices, and restores it: neither the time nor the memory of
// this process may grow with that of the guest.
func TestKVMMemoryBeyondTheHole(t *testing.T) {
	out := newConsole()
	cfg := flatConfig(highEcho, out)
	cfg.MemoryBytes, cfg.TrackDirtyPages = memory.HoleStart+16*mib, true
	m := start(t, cfg)
	_ = out.wait(t, 0, "w")
	req := request(t.TempDir(), "high", true)
	report := pauseAndSnapshot(t, m, req)
	if !report.Complete || report.MemoryBytes != cfg.MemoryBytes || report.DataBytes > mib {
		t.Errorf("got report %+v", report)
	}
	mustNot(t, m.Close())
	f, err := os.Open(req.MemoryPath)
	mustNot(t, err)
	defer f.Close()
	var first [1]byte
	if _, err := f.ReadAt(first[:], memory.HoleStart); err != nil || first[0] != 'H' {
		t.Errorf("the first byte beyond the hole is %q (%v)", first, err)
	}

	before := heapBytes()
	out = newConsole()
	other := restored(t, req.restore(out))
	_, err = other.Input().Write([]byte("?"))
	mustNot(t, err)
	_ = out.wait(t, 0, "H")
	if grown := heapBytes() - before; grown > 2*mib {
		t.Errorf("a restored machine takes %d bytes of this process", grown)
	}
	mustNot(t, other.Pause())
	diff := request(t.TempDir(), "diff", true)
	_, err = other.Snapshot(t.Context(), diff)
	mustNot(t, err)
	mergeFiles(t, req, diff)
	out = newConsole()
	again := restored(t, diff.restore(out))
	if again.Info().MemoryBytes != cfg.MemoryBytes {
		t.Errorf("restored as %+v", again.Info())
	}
}

func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

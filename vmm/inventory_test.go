//go:build linux && amd64

package vmm

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// inventory is what a machine could leave behind in its process.
type inventory struct {
	goroutines int
	files      []string
	guestMaps  int // mappings as large as the guest's memory, or of KVM
}

func takeInventory(t *testing.T) inventory {
	t.Helper()
	var i inventory
	// A goroutine that has done its work may still be on its way out.
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		n := runtime.NumGoroutine()
		if n == i.goroutines || time.Since(began) > patience {
			break
		}
		i.goroutines = n
	}
	entries, err := os.ReadDir("/proc/self/fd")
	mustNot(t, err)
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			i.files = append(i.files, target)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	mustNot(t, err)
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "kvm") || strings.Contains(line, ".mem") {
			i.guestMaps++
		}
	}
	return i
}

func (i inventory) compare(t *testing.T, after inventory) {
	t.Helper()
	if after.goroutines > i.goroutines {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines became %d:\n%s", i.goroutines, after.goroutines, buf[:runtime.Stack(buf, true)])
	}
	if len(after.files) > len(i.files) {
		t.Errorf("open files %q became %q", i.files, after.files)
	}
	if i.guestMaps != 0 || after.guestMaps != 0 {
		t.Errorf("%d, then %d mappings of guests", i.guestMaps, after.guestMaps)
	}
}

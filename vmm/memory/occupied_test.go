package memory

import (
	"os"
	"path/filepath"
	"testing"
)

const someMiB = 256 << 20

// occupiedPages returns all pages that may be other than zero.
func occupiedPages(t *testing.T, m *Memory) map[int64]bool {
	t.Helper()
	o := m.Occupied()
	pages := map[int64]bool{}
	for page := range m.SizeBytes() / PageBytes {
		occupied, err := o.Page(page)
		mustNot(t, err)
		if occupied {
			pages[page] = true
		}
	}
	mustNot(t, o.Close())
	return pages
}

func wantPages(t *testing.T, got map[int64]bool, atMost int, want ...int64) {
	t.Helper()
	for _, page := range want {
		if !got[page] {
			t.Errorf("page %d is said to be zero", page)
		}
	}
	if len(got) > atMost {
		t.Errorf("%d pages are said to be in use, expected at most %d", len(got), atMost)
	}
}

func TestOccupiedAnonymousMemory(t *testing.T) {
	m := newTestMemory(t, someMiB, Options{})
	wantPages(t, occupiedPages(t, m), 0)
	pages := []int64{0, 1, 5000, someMiB/PageBytes - 1}
	for _, page := range pages {
		m.mapping[page*PageBytes+17] = 1
	}
	// The system may give huge pages unasked.
	wantPages(t, occupiedPages(t, m), len(pages)*hugePageBytes/PageBytes, pages...)
}

func TestOccupiedMemoryOfAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "mem_file"))
	mustNot(t, err)
	defer f.Close()
	mustNot(t, f.Truncate(someMiB))
	for _, page := range []int64{3, 4, 40000} {
		_, err = f.WriteAt([]byte{1}, page*PageBytes)
		mustNot(t, err)
	}
	m, err := Map(f, someMiB, Options{})
	mustNot(t, err)
	defer m.Close()
	wantPages(t, occupiedPages(t, m), 64, 3, 4, 40000)
	m.mapping[60000*PageBytes] = 1 // a page of its own where the file has a hole
	m.mapping[40000*PageBytes] = 2
	wantPages(t, occupiedPages(t, m), 128, 3, 4, 40000, 60000)
	o := m.Occupied()
	for _, page := range []int64{40000, 3, 60000, 4} { // in any order
		occupied, err := o.Page(page)
		mustNot(t, err)
		if !occupied {
			t.Errorf("page %d is said to be zero", page)
		}
	}
	// Whoever does not know says yes.
	mustNot(t, o.Close())
	o.pagemap = nil
	occupied, err := o.Page(100)
	mustNot(t, err)
	if !occupied {
		t.Error("a page is said to be zero by nobody")
	}
}

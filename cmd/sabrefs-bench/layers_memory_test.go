package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// smallMemory makes one up.
func smallMemory(t *testing.T, flags layersFlags) *guestMemory {
	t.Helper()
	m, err := newGuestMemory(t.Context(), t.TempDir(), flags)
	noError(t, err)
	return m
}

func TestMadeUpMemory(t *testing.T) {
	const mib, percent = 32, 25
	flags := layersFlags{mib: mib, dataPercent: percent, seed: 7}
	m := smallMemory(t, flags)
	pages := int64(mib << 20 / pageBytes)
	if m.rawBytes != mib<<20 || int64(len(m.data)) < pages/8 || int64(len(m.data)) > pages/2 {
		t.Errorf("%d bytes with %d pages of data, want %d bytes and about %d %%", m.rawBytes, len(m.data), mib<<20, percent)
	}
	content, err := os.ReadFile(m.path)
	noError(t, err)
	again, err := os.ReadFile(smallMemory(t, flags).path)
	noError(t, err)
	flags.seed++
	other, err := os.ReadFile(smallMemory(t, flags).path)
	noError(t, err)
	if !bytes.Equal(content, again) || bytes.Equal(content, other) {
		t.Error("the memory is not a function of the seed")
	}
}

// A diff has the pages that changed, as they are now, and nothing else.
func TestChangesAreInTheDiff(t *testing.T) {
	const changed = 40
	m := smallMemory(t, layersFlags{input: writeMemory(t, memory(2048))})
	before, err := os.ReadFile(m.path)
	noError(t, err)
	diffPath := filepath.Join(t.TempDir(), "diff")
	noError(t, m.writeDiff(changed, diffPath))
	after, err := os.ReadFile(m.path)
	noError(t, err)
	diff, err := os.Open(diffPath)
	noError(t, err)
	defer diff.Close()
	page, found := make([]byte, pageBytes), 0
	for rawOff := int64(0); rawOff < m.rawBytes; rawOff += pageBytes {
		now := after[rawOff:][:pageBytes]
		if bytes.Equal(now, before[rawOff:][:pageBytes]) {
			if hole, err := unix.Seek(int(diff.Fd()), rawOff, unix.SEEK_HOLE); err != nil || hole != rawOff {
				t.Errorf("the page at %d has not changed and is in the diff (%v)", rawOff, err)
			}
			continue
		}
		found++
		if _, err := diff.ReadAt(page, rawOff); err != nil || !bytes.Equal(page, now) {
			t.Errorf("the page at %d has changed, and the diff has something else (%v)", rawOff, err)
		}
	}
	if found != changed {
		t.Errorf("%d pages have changed, want %d", found, changed)
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSlowDisk: the disk keeps what is written to it, and leaves nothing.
func TestSlowDisk(t *testing.T) {
	requireMounts(t)
	dir := workDir(t)
	disk, err := newSlowDisk(t.Context(), dir, 64<<20, 1<<30)
	noError(t, err)
	content := memory(2048)
	path := filepath.Join(disk.point, "file")
	noError(t, os.WriteFile(path, content, 0o600))
	rates, err := disk.rates(t.Context(), path)
	if err != nil || strings.Count(rates, "MB/s") != 2 || !strings.Contains(rates, "the first 8 MB") {
		t.Errorf("rates %q, %v", rates, err)
	}
	noError(t, dropCaches(t.Context(), path))
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has other bytes than were written: %v", err)
	}
	noError(t, disk.close(t.Context()))
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("still mounted (%v): %s", err, mounts)
	}
}

// TestSlowDiskFails: one that cannot be made leaves nothing either.
func TestSlowDiskFails(t *testing.T) {
	requireMounts(t)
	dir := workDir(t)
	if _, err := newSlowDisk(t.Context(), dir, 1, 1<<30); err == nil || !strings.Contains(err.Error(), "a disk held to a rate") {
		t.Errorf("a disk of one byte: %v", err)
	}
	for _, rate := range []string{"0", "fast"} {
		if o := bench(t, "slow-disk", "/dev/null", dir, rate); o.code != 1 || !strings.Contains(o.stderr, rate) {
			t.Errorf("rate %s: %+v", rate, o)
		}
	}
}

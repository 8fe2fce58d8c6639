package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	sabrefsfs "sabrefs/fs"
)

// mountPoint makes a mount point at which nothing is left when the test ends:
// neither a mount nor a daemon.
func mountPoint(t *testing.T) string {
	t.Helper()
	requireFUSE(t)
	point := makeDir(t, filepath.Join(publicTempDir(t), "mnt"))
	t.Cleanup(func() {
		if isMounted(t, point) {
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				t.Errorf("detaching %s: %v", point, err)
			}
			for _, pid := range daemons(t, point) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					t.Errorf("ending daemon %d: %v", pid, err)
				}
			}
		}
		eventually(t, "the daemon ends", func() bool { return len(daemons(t, point)) == 0 })
	})
	return point
}

func isMounted(t *testing.T, point string) bool {
	t.Helper()
	_, mounted, err := sabrefsfs.LocateMount(point)
	noError(t, err)
	return mounted
}

// daemons returns the processes that have the mount point in their command
// line. It is unlike any other path, so none but ours are found.
func daemons(t *testing.T, point string) (pids []int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	noError(t, err)
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		noError(t, err)
		if !bytes.Contains(line, []byte(point)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		noError(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// daemon returns the one process that serves a mount.
func daemon(t *testing.T, point string) int {
	t.Helper()
	pids := daemons(t, point)
	if len(pids) != 1 {
		t.Fatalf("%d processes serve %s, want one", len(pids), point)
	}
	return pids[0]
}

func wantGone(t *testing.T, point string) {
	t.Helper()
	if isMounted(t, point) {
		t.Errorf("%s is still mounted", point)
	}
	wantNames(t, point)
	eventually(t, "the daemon ends", func() bool { return len(daemons(t, point)) == 0 })
}

// openMemory opens the sample's memory file in a mount, which is in use then.
func openMemory(t *testing.T, point string) *os.File {
	t.Helper()
	file, err := os.Open(filepath.Join(point, "guest", "mem_file"))
	noError(t, err)
	t.Cleanup(func() { _ = file.Close() }) // tests close it before
	return file
}

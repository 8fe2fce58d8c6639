package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLifeline: a mount that was made for a process ends when its end of the pipe is
// closed, and goes on while somebody else uses it.
func TestLifeline(t *testing.T) {
	requireFUSE(t)
	t.Setenv(commandEnv, "1")
	dir := publicTempDir(t)
	noError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("kept as it is"), 0o600))
	point := makeDir(t, filepath.Join(publicTempDir(t), "point"))
	theirs, ours, err := os.Pipe()
	noError(t, err)
	daemon, err := startDaemon(t.Context(), []string{"mount", dir, point}, theirs)
	noError(t, err)
	noError(t, theirs.Close())
	t.Cleanup(func() { _ = umount(point, true) }) // if the test fails

	user, err := os.Open(filepath.Join(point, "file"))
	noError(t, err)
	noError(t, ours.Close())
	time.Sleep(4 * firstUnmountPause)
	got := make([]byte, len("kept"))
	if _, err := user.ReadAt(got, 0); err != nil || string(got) != "kept" {
		t.Errorf("a file that is in use reads %q, %v", got, err)
	}
	noError(t, user.Close())

	state, err := daemon.Wait()
	noError(t, err)
	if !state.Success() {
		t.Errorf("the daemon ended with %v", state)
	}
	if isMounted(t, point) {
		t.Error("still mounted")
	}
	if _, err := os.Stat(point); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the mount point is still there: %v", err)
	}
}

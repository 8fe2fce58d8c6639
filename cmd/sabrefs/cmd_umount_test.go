package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestUmountRefuses(t *testing.T) {
	requireFUSE(t)
	dir := realTempDir(t)
	loop := filepath.Join(dir, "loop")
	noError(t, os.Symlink("loop", loop))
	for _, path := range []string{dir, filepath.Join(dir, "missing"), loop, "/", "/proc", writeFile(t, filepath.Join(dir, "file"), nil)} {
		refused(t, exitUsage, []string{"umount", path}, path, "no store is mounted")
		refused(t, exitUsage, []string{"umount", "--lazy", path}, path, "no store is mounted")
	}
	refused(t, exitNotFound, []string{"umount", filepath.Join(dir, "missing", "below")}, dir)
}

// TestUmountInUse: a file that is open keeps the mount; with --lazy the name
// goes at once, and the file stays readable until it is closed.
func TestUmountInUse(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	sabrefs(t, "mount", storeDir, point)
	file := openMemory(t, point)
	refused(t, exitBusy, []string{"umount", point}, point, "--lazy")
	if !isMounted(t, point) {
		t.Fatal("umount refused, and unmounted")
	}
	sabrefs(t, "umount", "--lazy", point)
	if isMounted(t, point) {
		t.Error("umount --lazy left the mount in the tree")
	}
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, memory) {
		t.Errorf("after umount --lazy the open file gave %d bytes of %d: %v", len(got), len(memory), err)
	}
	if len(daemons(t, point)) != 1 {
		t.Error("after umount --lazy the daemon is gone while a file is open")
	}
	noError(t, file.Close())
	wantGone(t, point)
}

// TestUmountThroughLinks: the mount point may be named by way of symbolic
// links, as when it was mounted.
func TestUmountThroughLinks(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	dir := realTempDir(t)
	parent, direct, relative := filepath.Join(dir, "parent"), filepath.Join(dir, "direct"), filepath.Join(dir, "relative")
	noError(t, os.Symlink(filepath.Dir(point), parent))
	noError(t, os.Symlink(point, direct))
	noError(t, os.Symlink("parent/mnt", relative))
	for _, path := range []string{filepath.Join(parent, "mnt"), direct, relative, direct + "/", point + "/."} {
		sabrefs(t, "mount", storeDir, path)
		if !isMounted(t, point) {
			t.Fatalf("mounting at %s did not mount at %s", path, point)
		}
		sabrefs(t, "umount", path)
		wantGone(t, point)
	}
}

// TestUmountDeadMount: the daemon was killed, so that every access fails.
func TestUmountDeadMount(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	link := filepath.Join(realTempDir(t), "link")
	noError(t, os.Symlink(point, link))
	for _, args := range [][]string{{"umount", point}, {"umount", "--lazy", point}, {"unmount", link}} {
		sabrefs(t, "mount", storeDir, point)
		pid := daemon(t, point)
		noError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, "the daemon dies", func() bool { return len(daemons(t, point)) == 0 })
		if _, err := os.ReadDir(point); err == nil {
			t.Error("a mount without its daemon can be read")
		}
		refused(t, exitBusy, []string{"mount", storeDir, point}, point)
		sabrefs(t, args...)
		wantGone(t, point)
	}
	sabrefs(t, "mount", storeDir, point) // the store is untouched
	wantContent(t, filepath.Join(point, "guest", "mem_file"), memory)
	sabrefs(t, "umount", point)
	wantGone(t, point)
}

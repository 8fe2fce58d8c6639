package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"old and long", "new"} {
		wantNoError(t, ReplaceFile(path, 0o640, []byte(content)))
		wantBytes(t, "file", readFile(t, path), []byte(content))
	}
	info, err := os.Stat(path)
	wantNoError(t, err)
	wantEqual(t, "mode", info.Mode(), 0o640)
	wantNames(t, dir, "file")
}

func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	wantNoError(t, CreateFile(path, 0o600, []byte("old")))
	wantClass(t, CreateFile(path, 0o600, []byte("new")), ErrExists)
	wantBytes(t, "file", readFile(t, path), []byte("old"))
	wantNames(t, dir, "file")
}

// TestReplaceFileKeepsWhatWasThere lets each step of it fail.
func TestReplaceFileKeepsWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	wantNoError(t, os.Mkdir(filepath.Join(dir, "subdir"), 0o700))
	wantClass(t, ReplaceFile(filepath.Join(dir, "subdir"), 0o600, nil), ErrExists)
	wantClass(t, ReplaceFile(filepath.Join(dir, "missing", "file"), 0o600, nil), fs.ErrNotExist)
	wantNames(t, dir, "subdir")
}

// TestReplaceFileOnFullDisk writes more than the disk has: what is there stays,
// and nothing else takes room.
func TestReplaceFileOnFullDisk(t *testing.T) {
	const diskBytes = 64 << 10
	dir, mounted := smallDisk(t, diskBytes)
	if !mounted {
		t.Log("not allowed to mount: TestFileSizeLimit does the same with another limit")
		dir = t.TempDir()
	}
	path := filepath.Join(dir, "file")
	wantNoError(t, ReplaceFile(path, 0o600, []byte("old")))
	if mounted {
		free := freeBytes(t, dir)
		wantClass(t, ReplaceFile(path, 0o600, make([]byte, 2*diskBytes)), unix.ENOSPC)
		wantEqual(t, "free space", freeBytes(t, dir), free)
	}
	wantBytes(t, "file", readFile(t, path), []byte("old"))
	wantNames(t, dir, "file")
}

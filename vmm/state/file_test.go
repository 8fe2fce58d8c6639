package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wantOnly checks that nothing else was left in a directory.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	wantNoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !reflect.DeepEqual(got, names) {
		t.Errorf("directory has %q, want %q", got, names)
	}
}

func TestWriteAndRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snapshot_file")
	for _, sections := range [][]Section{goldenSections(), {}, goldenSections()[2:]} {
		wantNoError(t, Write(path, sections))
		got, err := Read(path)
		wantNoError(t, err)
		if !reflect.DeepEqual(got, sections) {
			t.Errorf("got %v, want %v", got, sections)
		}
	}
	wantOnly(t, dir, "snapshot_file")
}

func TestWriteRefusesAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := Write(path, []Section{{}, {}}); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), path) {
		t.Errorf("two equal sections: %v", err)
	}
	if err := Write(filepath.Join(dir, "none", "a"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	wantOnly(t, dir)
	wantNoError(t, os.Symlink("/dev/null", path))
	if err := Write(path, nil); !errors.Is(err, ErrNotRegular) {
		t.Errorf("symbolic link: %v", err)
	}
	wantOnly(t, dir, "a")
}

// A directory that cannot take the name: what was written is removed.
func TestWriteThatCannotRename(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "target")
	wantNoError(t, os.Mkdir(path, 0o755))
	if err := replace(path, []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	wantOnly(t, dir, "target")
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		wantNoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	wantNoError(t, unix.Mkfifo(fifo, 0o600))
	huge := write("huge", "")
	wantNoError(t, os.Truncate(huge, 1<<40))
	whole := string(encode(t, goldenSections()))
	for path, want := range map[string]error{
		write("empty", ""):                     ErrNotState,
		write("text", strings.Repeat("x", 99)): ErrNotState,
		write("half", whole[:len(whole)/2]):    ErrDamaged,
		huge:                                   ErrDamaged,
		fifo:                                   ErrNotRegular,
		dir:                                    ErrNotRegular,
		filepath.Join(dir, "none"):             fs.ErrNotExist,
	} {
		if _, err := Read(path); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

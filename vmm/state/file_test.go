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

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot_file")
	for _, sections := range [][]Section{goldenSections(), {}, goldenSections()[2:]} {
		wantNoError(t, os.WriteFile(path, encode(t, sections), 0o600))
		got, err := Read(path)
		wantNoError(t, err)
		if !reflect.DeepEqual(got, sections) {
			t.Errorf("got %v, want %v", got, sections)
		}
	}
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

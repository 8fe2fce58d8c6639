package imports_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNotRaced keeps the list of tests true that `make race` leaves out by their names:
// each is in sabrefs-bench, and no other package has one of the same name.
func TestNotRaced(t *testing.T) {
	for name := range strings.SplitSeq(makefileValue(t, "TIME_OTHER_PROCESSES"), "|") {
		dirs := packagesWithTest(t, name)
		if len(dirs) != 1 || dirs[0] != "cmd/sabrefs-bench" {
			t.Errorf("%s is in %q, and not in cmd/sabrefs-bench alone", name, dirs)
		}
	}
}

// packagesWithTest lists the directories that have a test of a name.
func packagesWithTest(t *testing.T, name string) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(source), "\nfunc "+name+"(") {
			dir, relErr := filepath.Rel(root, filepath.Dir(path))
			dirs, err = append(dirs, dir), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// temporaries are the two ways in which a file waits for its name.
var temporaries = map[string]func(t *testing.T, target string, overwrite bool) *atomicFile{
	"unnamed": func(t *testing.T, target string, overwrite bool) *atomicFile {
		t.Helper()
		a, err := createAtomic(target, overwrite, 0o640)
		wantNoError(t, err)
		return a
	},
	// as on a filesystem without O_TMPFILE
	"named": func(t *testing.T, target string, overwrite bool) *atomicFile {
		t.Helper()
		wantNoError(t, checkTarget(target, overwrite, fs.FileMode.IsRegular))
		f, err := os.CreateTemp(filepath.Dir(target), tempPrefix+"*")
		wantNoError(t, err)
		wantNoError(t, f.Chmod(0o640))
		return &atomicFile{File: f, target: target, overwrite: overwrite, tempPath: f.Name()}
	},
}

// forTemporaries runs a test in a fresh directory for each way.
func forTemporaries(t *testing.T, test func(t *testing.T, dir string, create func(overwrite bool) *atomicFile)) {
	t.Helper()
	for name, create := range temporaries {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, dir, func(overwrite bool) *atomicFile {
				a := create(t, filepath.Join(dir, "file"), overwrite)
				_, err := a.WriteString("new")
				wantNoError(t, err)
				return a
			})
		})
	}
}

func TestAtomicFileAppearsWhole(t *testing.T) {
	forTemporaries(t, func(t *testing.T, dir string, create func(bool) *atomicFile) {
		t.Helper()
		a := create(false)
		for _, name := range namesIn(t, dir) {
			wantEqual(t, "name before commit is hidden", IsStaging(name), true)
		}
		wantNoError(t, a.commit())
		wantNames(t, dir, "file")
		wantBytes(t, "file", readFile(t, filepath.Join(dir, "file")), []byte("new"))
		info, err := os.Stat(filepath.Join(dir, "file"))
		wantNoError(t, err)
		wantEqual(t, "mode", info.Mode(), 0o640)
		_, err = a.WriteString("more")
		wantClass(t, err, os.ErrClosed)
	})
}

func TestAtomicFileAbortLeavesNothing(t *testing.T) {
	forTemporaries(t, func(t *testing.T, dir string, create func(bool) *atomicFile) {
		t.Helper()
		wantNoError(t, create(true).abort())
		wantNames(t, dir)
	})
}

func TestAtomicFileReplaces(t *testing.T) {
	forTemporaries(t, func(t *testing.T, dir string, create func(bool) *atomicFile) {
		t.Helper()
		target := writeFile(t, filepath.Join(dir, "file"), []byte("old"))
		held, err := os.Open(target)
		wantNoError(t, err)
		defer held.Close()
		wantNoError(t, create(true).commit())
		wantNames(t, dir, "file")
		wantBytes(t, "file", readFile(t, target), []byte("new"))
		old := make([]byte, 3)
		_, err = held.ReadAt(old, 0)
		wantNoError(t, err)
		wantBytes(t, "the file that a reader holds open", old, []byte("old"))
	})
}

// TestAtomicFileLosesTheRace lets the target appear after it was checked.
func TestAtomicFileLosesTheRace(t *testing.T) {
	forTemporaries(t, func(t *testing.T, dir string, create func(bool) *atomicFile) {
		t.Helper()
		a := create(false)
		target := writeFile(t, filepath.Join(dir, "file"), []byte("other"))
		wantClass(t, a.commit(), ErrExists)
		wantNames(t, dir, "file")
		wantBytes(t, "file", readFile(t, target), []byte("other"))
	})
}

// TestAtomicFileCannotReplaceDirectory checks the clean-up after a failed
// rename.
func TestAtomicFileCannotReplaceDirectory(t *testing.T) {
	forTemporaries(t, func(t *testing.T, dir string, create func(bool) *atomicFile) {
		t.Helper()
		a := create(true)
		wantNoError(t, os.Mkdir(filepath.Join(dir, "file"), 0o700))
		wantEqual(t, "commit fails", a.commit() != nil, true)
		wantNames(t, dir, "file")
	})
}

func TestAtomicFileRefusesTargets(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), nil)
	link := filepath.Join(dir, "link")
	wantNoError(t, os.Symlink("nowhere", link))
	for _, c := range []struct {
		target    string
		overwrite bool
		class     error
	}{
		{file, false, ErrExists},
		{link, false, ErrExists},
		{link, true, ErrExists},
		{dir, true, ErrExists},
		{filepath.Join(dir, "missing", "file"), true, fs.ErrNotExist},
		{filepath.Join(file, "below"), true, nil},
	} {
		a, err := createAtomic(c.target, c.overwrite, 0o600)
		if a != nil || err == nil {
			t.Fatalf("%s was accepted as a target", c.target)
		}
		if c.class != nil {
			wantClass(t, err, c.class)
		}
	}
	wantNames(t, dir, "file", "link")
}

// TestStaleTemporariesAreRemoved tells what a killed process left from what a
// living one writes.
func TestStaleTemporariesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, tempPrefix+"stale"), []byte("cut"))
	living, err := os.Open(writeFile(t, filepath.Join(dir, tempPrefix+"living"), []byte("growing")))
	wantNoError(t, err)
	defer living.Close()
	wantNoError(t, lockAlive(living))
	wantNoError(t, os.Mkdir(filepath.Join(dir, tempPrefix+"directory"), 0o700))
	wantNoError(t, os.Symlink("kept", filepath.Join(dir, tempPrefix+"link")))
	kept := writeFile(t, filepath.Join(dir, "kept"), nil)

	a, err := createAtomic(filepath.Join(dir, "file"), false, 0o600)
	wantNoError(t, err)
	wantNoError(t, a.abort())
	names := namesIn(t, dir)
	wantEqual(t, "stale file is there", slices.Contains(names, tempPrefix+"stale"), false)
	wantEqual(t, "living file is there", slices.Contains(names, tempPrefix+"living"), true)
	wantBytes(t, "what a link leads to", readFile(t, kept), nil)
}

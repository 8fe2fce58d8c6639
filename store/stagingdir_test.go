package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func stage(t *testing.T, target string, overwrite bool) *stagingDir {
	t.Helper()
	s, err := createStaging(target, overwrite)
	wantNoError(t, err)
	writeFile(t, filepath.Join(s.path, "new"), []byte("new"))
	return s
}

func TestStagingAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "snapshot")
	s := stage(t, target+"/", false) // as a shell completes it
	wantNames(t, dir, ".snapshot"+stagingSuffix)
	wantNoError(t, s.commit(0o751))
	wantNames(t, dir, "snapshot")
	wantNames(t, target, "new")
	info, err := os.Stat(target)
	wantNoError(t, err)
	wantEqual(t, "mode", info.Mode().Perm(), 0o751)
}

func TestStagingAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	wantNoError(t, stage(t, filepath.Join(dir, "snapshot"), false).abort())
	wantNames(t, dir)
}

func TestStagingReplaces(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "snapshot")
	wantNoError(t, os.MkdirAll(filepath.Join(target, "old", "older"), 0o700))
	wantNoError(t, stage(t, target, true).commit(0o700))
	wantNames(t, dir, "snapshot")
	wantNames(t, target, "new")
}

// TestStagingIsLocked checks that two packs to one target do not mix.
func TestStagingIsLocked(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "snapshot")
	first := stage(t, target, true)
	_, err := createStaging(target, true)
	wantClass(t, err, ErrBusy)
	wantNames(t, first.path, "new")
	wantNoError(t, first.commit(0o700))
	wantNoError(t, stage(t, target, true).commit(0o700))
}

// TestStagingLostItsName plays the moment in which the former owner renames
// the directory that was just opened.
func TestStagingLostItsName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "staging")
	wantNoError(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
	wantNoError(t, os.Symlink("elsewhere", path)) // opened is not what is named
	_, err := lockDir(path, "snapshot")
	wantClass(t, err, ErrBusy)
}

// TestStagingClearsLeftovers checks what happens after a killed pack.
func TestStagingClearsLeftovers(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".snapshot"+stagingSuffix)
	wantNoError(t, os.MkdirAll(filepath.Join(left, "half", "a"), 0o700))
	writeFile(t, filepath.Join(left, "mem_file.sabre"), []byte("cut"))
	wantNoError(t, stage(t, filepath.Join(dir, "snapshot"), false).commit(0o700))
	wantNames(t, dir, "snapshot")
	wantNames(t, filepath.Join(dir, "snapshot"), "new")
}

func TestStagingLosesTheRace(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "snapshot")
	s := stage(t, target, false)
	wantNoError(t, os.Mkdir(target, 0o700))
	writeFile(t, filepath.Join(target, "other"), nil)
	wantClass(t, s.commit(0o700), ErrExists)
	wantNames(t, dir, "snapshot")
	wantNames(t, target, "other")
}

func TestStagingRefusesTargets(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), []byte("kept"))
	for _, c := range []struct {
		target    string
		overwrite bool
		class     error
	}{
		{dir, false, ErrExists}, {file, false, ErrExists}, {file, true, ErrExists},
		{filepath.Join(dir, "missing", "snapshot"), true, fs.ErrNotExist},
	} {
		_, err := createStaging(c.target, c.overwrite)
		wantClass(t, err, c.class)
	}
	wantNames(t, dir, "file")
}

func TestIsStaging(t *testing.T) {
	for name, want := range map[string]bool{
		".snapshot" + stagingSuffix: true, tempPrefix + "123": true, "snapshot": false, ".hidden": false,
		"snapshot" + stagingSuffix: false, "mem_file.sabre": false, "": false,
	} {
		wantEqual(t, name+" is staging", IsStaging(name), want)
	}
}

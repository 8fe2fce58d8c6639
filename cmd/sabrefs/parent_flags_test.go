package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestParentDir moves a parent away: every command that opens images says so, and finds
// it again where it is told.
func TestParentDir(t *testing.T) {
	f := newFamily(t)
	archive := makeDir(t, filepath.Join(realTempDir(t), "archive", "2026"))
	noError(t, os.Rename(filepath.Join(f.dir, "base"), filepath.Join(archive, "base")))
	out := filepath.Join(realTempDir(t), "out")
	source := writeFile(t, filepath.Join(realTempDir(t), "mem_file"), f.memory["v2"])
	for _, args := range [][]string{
		{"unpack", f.image("v2"), out},
		{"unpack", filepath.Join(f.dir, "v2"), out + "-directory"},
		{"verify", f.image("v2")},
		{"ls", "--tree", f.dir},
		{"pack", "--parent", f.image("v1"), source, filepath.Join(f.dir, "again.sabre")},
		{"repack", "--codec", "lz4", f.image("v2")},
		{"rebase", "--codec", "zstd", f.image("v2")},
		{"flatten", f.image("v2")},
	} {
		t.Run(args[0], func(t *testing.T) {
			refused(t, exitParent, args, f.image("v1"), "base/mem_file.sabre", "is not there")
			wrong := append([]string{args[0], "--parent-dir", realTempDir(t)}, args[1:]...)
			refused(t, exitParent, wrong, f.image("v1"), "base/mem_file.sabre", "is not there")
			refused(t, exitNotFound, append([]string{args[0], "--parent-dir", out + "-missing"}, args[1:]...), "--parent-dir")
			refused(t, exitUsage, append([]string{args[0], "--parent-dir", source}, args[1:]...), "--parent-dir", "not a directory")
			sabrefs(t, append([]string{args[0], "--parent-dir", realTempDir(t), "--parent-dir", filepath.Dir(archive)}, args[1:]...)...)
		})
	}
	wantContent(t, out, f.memory["v2"])
	f.wantMemory(t, "v2") // it is flat now
	if said := sabrefs(t, "inspect", "--parent-dir", archive, f.image("v1")); !strings.Contains(said, archive) {
		t.Errorf("inspect does not show where the parent is:\n%s", said)
	}
}

// TestRelativePaths: the commands may be given paths from where they are run.
func TestRelativePaths(t *testing.T) {
	f := newFamily(t)
	source := writeFile(t, filepath.Join(f.dir, "mem_file"), f.memory["v2"])
	for _, args := range [][]string{
		{"pack", "--parent", "v1/mem_file.sabre", "mem_file", "x.sabre"},
		{"verify", "x.sabre"},
		{"verify", "."},
		{"ls", "--tree", "."},
		{"rebase", "--parent", "../store/v1", "x.sabre"},
		{"unpack", "x.sabre", "raw"},
		{"rm", ".", "x"},
		{"rm", "../store", "v2"},
		{"flatten", "v1"},
		{"rm", ".", "base", "side"},
	} {
		cmd := command(t, args...)
		cmd.Dir = f.dir
		if o := finish(t, cmd); o.code != exitOK || o.stderr != "" {
			t.Fatalf("%s: exit code %d, standard error %q", o.line, o.code, o.stderr)
		}
	}
	wantContent(t, filepath.Join(f.dir, "raw"), f.memory["v2"])
	wantContent(t, source, f.memory["v2"])
	wantNames(t, f.dir, "mem_file", "raw", "v1")
	f.wantMemory(t, "v1")
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// staleOf returns the names of the images that ls marks as stale.
func staleOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, row := range decodeJSON[listReport](t, sabrefs(t, "ls", "--tree", "--json", dir)).Images {
		if row.Parent != nil && row.Parent.Stale {
			names = append(names, row.Name)
		}
	}
	return names
}

// TestRebaseStale: parents that are written anew make their descendants stale, and
// rebase makes them as they were.
func TestRebaseStale(t *testing.T) {
	f := newFamily(t)
	sabrefs(t, "repack", "--codec", "lz4", f.image("base"))
	if got, want := staleOf(t, f.dir), []string{"side/mem_file", "v1/mem_file", "v2/mem_file"}; !slices.Equal(got, want) {
		t.Errorf("with another root, %q are stale, want %q", got, want)
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
	report := decodeJSON[anewReport](t, sabrefs(t, "rebase", "--json", f.dir))
	if want := []string{f.image("side"), f.image("v1"), f.image("v2")}; !slices.Equal(report.paths(), want) || !slices.Equal(report.LeftAlone, []string{f.image("base")}) {
		t.Errorf("rebase --json says %+v", report)
	}
	if stale := staleOf(t, f.dir); len(stale) > 0 {
		t.Errorf("%q are stale after they were rebased", stale)
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
	before := readFile(t, f.image("v2"))
	if said := sabrefs(t, "rebase", f.dir); strings.Count(said, "left alone") != 4 {
		t.Errorf("rebase of what is as it should be says %q", said)
	}
	wantContent(t, f.image("v2"), before)
	said := sabrefs(t, "rebase", "--codec", "lz4", f.image("v2"))
	if !strings.HasPrefix(said, f.image("v2")+": ") || !strings.Contains(said, "depth 2") {
		t.Errorf("rebase with another codec says %q", said)
	}
	f.wantMemory(t, "v2")
}

// TestRepackFamily: parents are written before their children, so that none is stale.
func TestRepackFamily(t *testing.T) {
	f := newFamily(t)
	sabrefs(t, "repack", "--codec", "lz4", f.dir)
	if stale := staleOf(t, f.dir); len(stale) > 0 {
		t.Errorf("%q are stale after all were repacked", stale)
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
}

// TestRebaseMoved: a parent that was moved is found where the command says, and then
// without it.
func TestRebaseMoved(t *testing.T) {
	f := newFamily(t)
	archive := makeDir(t, filepath.Join(realTempDir(t), "archive"))
	noError(t, os.Rename(filepath.Join(f.dir, "base"), filepath.Join(archive, "base")))
	refused(t, exitParent, []string{"rebase", f.image("side")}, f.image("side"), "base")
	row := decodeJSON[repackRow](t, sabrefs(t, "rebase", "--json", "--parent-dir", archive, f.image("side")))
	if row.Path != f.image("side") || row.Depth != 1 {
		t.Errorf("rebase --json says %+v", row)
	}
	f.wantMemory(t, "side")
	refused(t, exitParent, []string{"verify", f.image("v1")}, "base")
	sabrefs(t, "rebase", "--parent", filepath.Join(archive, "base"), f.image("v1")) // a packed snapshot
	f.wantMemory(t, "v1", "v2")
	if got, want := staleOf(t, f.dir), []string(nil); !slices.Equal(got, want) && !slices.Equal(got, []string{"v2/mem_file"}) {
		t.Errorf("%q are stale", got)
	}
}

func TestRebaseRefuses(t *testing.T) {
	f := newFamily(t)
	before := readFile(t, f.image("v1"))
	missing := filepath.Join(f.dir, "missing")
	for _, c := range []struct {
		code  int
		args  []string
		words []string
	}{
		{exitParent, []string{"--parent", f.image("side"), f.image("v1")}, []string{f.image("v1"), f.image("side")}},
		{exitNotFound, []string{"--parent", missing, f.image("v1")}, []string{missing}},
		{exitNotFound, []string{missing}, []string{missing}},
		{exitParent, []string{"--parent", filepath.Dir(f.dir), f.image("v1")}, []string{"mem_file.sabre", "4 other images"}},
		{exitUsage, []string{"--parent", f.image("base"), f.dir}, []string{"one image", "3"}},
		{exitUsage, []string{"--parent", f.image("v1"), f.image("base")}, []string{"no image with a parent"}},
		{exitUsage, []string{"--level", "9", f.image("v1")}, []string{"level"}},
		{exitUsage, []string{"--parent", f.image("v1"), f.image("v1")}, []string{f.image("v1"), "own parent"}},
	} {
		refused(t, c.code, append([]string{"rebase"}, c.args...), c.words...)
	}
	wantContent(t, f.image("v1"), before)
	if said := sabrefs(t, "rebase", f.image("base")); !strings.Contains(said, "left alone") {
		t.Errorf("rebase of an image without a parent says %q", said)
	}
}

// TestRebaseTwin: an image of the same content that is a child itself will do as well,
// and never becomes its own parent.
func TestRebaseTwin(t *testing.T) {
	f := newFamily(t)
	twin := filepath.Join(f.dir, "twin.sabre") // a child of base, and base's equal
	source := writeFile(t, filepath.Join(realTempDir(t), "mem_file"), f.memory["base"])
	sabrefs(t, "pack", "--parent", f.image("base"), source, twin)
	sabrefs(t, "rebase", "--parent", twin, f.image("v1"))
	f.wantMemory(t, "v1", "v2")
	refused(t, exitUsage, []string{"rebase", "--parent", twin, twin}, "own parent")
	sabrefs(t, "verify", f.dir)
}

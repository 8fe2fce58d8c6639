package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sizes hides what depends on how well pages are compressed.
var sizes = regexp.MustCompile(`[0-9.]+(B|KiB|MiB)( +)[0-9.]+(B|KiB|MiB)( +)[0-9.]+( +)`)

// wantTree compares the tree of a store, without sizes. Columns are separated by one
// blank, but what is drawn before names stays.
func wantTree(t *testing.T, said string, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(said) {
		if strings.TrimRight(line, " \n")+"\n" != line {
			t.Errorf("blanks at the end of %q", line)
		}
		name := regexp.MustCompile("^[ |`-]*[^ ]+").FindString(line)
		rest := strings.Fields(sizes.ReplaceAllString(line[len(name):], "SIZES "))
		got = append(got, strings.Join(append([]string{name}, rest...), " "))
	}
	want = append([]string{"NAME RAW PACKED RATIO DEPTH REMARK"}, want...)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("ls --tree shows\n%s\nwant\n%s\nin full\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), said)
	}
}

func TestTree(t *testing.T) {
	f := newFamily(t)
	wantTree(t, sabrefs(t, "ls", "--tree", f.dir),
		"base/mem_file SIZES 0",
		"|- side/mem_file SIZES 1",
		"`- v1/mem_file SIZES 1",
		"   `- v2/mem_file SIZES 2")
	f.add(t, "alone", "")
	f.add(t, "v3", "side")
	sabrefs(t, "repack", "--codec", "lz4", f.image("v1"))
	wantTree(t, sabrefs(t, "ls", "--tree", f.dir),
		"alone/mem_file SIZES 0",
		"base/mem_file SIZES 0",
		"|- side/mem_file SIZES 1",
		"|  `- v3/mem_file SIZES 2",
		"`- v1/mem_file SIZES 1",
		"   `- v2/mem_file SIZES 2 stale")
	if said := sabrefs(t, "ls", "--tree", realTempDir(t)); !strings.HasPrefix(said, "NAME ") || strings.Count(said, "\n") != 1 {
		t.Errorf("ls --tree of an empty store says %q", said)
	}
}

// TestTreeFindings: what has no parent stands at the top, and says what it needs.
func TestTreeFindings(t *testing.T) {
	f := newFamily(t)
	f.replace(t, "v1")
	wantTree(t, refused(t, exitParent, []string{"ls", "--tree", f.dir}, f.image("v2"), "digest"),
		"base/mem_file SIZES 0",
		"`- side/mem_file SIZES 1",
		"v1/mem_file SIZES 0",
		"v2/mem_file SIZES 2 parent missing ../v1/mem_file.sabre")

	archive := makeDir(t, filepath.Join(realTempDir(t), "archive"))
	moved := filepath.Join(archive, "base", "mem_file.sabre")
	noError(t, os.Rename(filepath.Join(f.dir, "base"), filepath.Join(archive, "base")))
	noError(t, os.RemoveAll(filepath.Join(f.dir, "v2")))
	wantTree(t, refused(t, exitParent, []string{"ls", "--tree", f.dir}, f.image("side"), "base"),
		"side/mem_file SIZES 1 parent missing ../base/mem_file.sabre",
		"v1/mem_file SIZES 0")
	wantTree(t, sabrefs(t, "ls", "--tree", "--parent-dir", archive, f.dir),
		"side/mem_file SIZES 1 parent "+moved,
		"v1/mem_file SIZES 0")
	flip(90)(t, f.image("side"))
	wantTree(t, refused(t, exitDamaged, []string{"ls", "--tree", f.dir}, f.image("side")),
		"side/mem_file - - - - unreadable",
		"v1/mem_file SIZES 0")
}

// TestTreeDamagedParent: the children of an unreadable image stand at the top.
func TestTreeDamagedParent(t *testing.T) {
	f := newFamily(t)
	flip(90)(t, f.image("v1"))
	wantTree(t, refused(t, exitDamaged, []string{"ls", "--tree", f.dir}, f.image("v1"), f.image("v2")),
		"base/mem_file SIZES 0",
		"`- side/mem_file SIZES 1",
		"v1/mem_file - - - - unreadable",
		"v2/mem_file SIZES 2 parent unreadable ../v1/mem_file.sabre")
}

func TestTreeJSON(t *testing.T) {
	f := newFamily(t)
	plain := decodeJSON[listReport](t, sabrefs(t, "ls", "--json", f.dir)).Images
	said := sabrefs(t, "ls", "--tree", "--json", f.dir)
	tree := decodeJSON[listReport](t, said).Images
	var names []string
	for _, row := range tree {
		names = append(names, row.Name)
	}
	if got := strings.Join(names, " "); got != "base/mem_file side/mem_file v1/mem_file v2/mem_file" {
		t.Fatalf("ls --tree --json lists %s", got)
	}
	base, v1, v2 := tree[0], tree[2], tree[3]
	if base.Parent != nil || base.Depth != 0 || !strings.Contains(said, `"parent": null`) {
		t.Errorf("the root is %+v", base)
	}
	if want := (parentRow{Name: "v1/mem_file", Path: f.image("v1"), UUID: v1.UUID, Digest: v1.Digest}); v2.Parent == nil || *v2.Parent != want || v2.Depth != 2 {
		t.Errorf("the youngest is %+v of %+v, want %+v", v2, v2.Parent, want)
	}
	if want := (parentRow{Path: "../v1/mem_file.sabre", UUID: v1.UUID, Digest: v1.Digest}); *plain[3].Parent != want {
		t.Errorf("without --tree, the parent is %+v, want %+v", *plain[3].Parent, want)
	}
	f.replace(t, "v1")
	for _, row := range decodeJSON[listReport](t, refused(t, exitParent, []string{"ls", "--tree", "--json", f.dir})).Images {
		if broken := row.Name == "v2/mem_file"; broken != (row.Parent != nil && row.Parent.Error != "") || row.Error != "" {
			t.Errorf("with v1 replaced, ls says %+v of %+v", row, row.Parent)
		}
	}
}

// TestTreeLoop: images that are each other's parents, which no command makes, are
// listed all the same. Here a child takes the place of its own parent.
func TestTreeLoop(t *testing.T) {
	f := newFamily(t)
	twin := filepath.Join(makeDir(t, filepath.Join(f.dir, "twin")), "mem_file.sabre")
	source := writeFile(t, filepath.Join(realTempDir(t), "mem_file"), f.memory["base"])
	sabrefs(t, "pack", "--parent", f.image("base"), source, twin)
	noError(t, os.Rename(twin, f.image("base")))
	said := refused(t, exitParent, []string{"ls", "--tree", f.dir}, "ancestor of itself")
	for _, name := range []string{"base", "side", "v1", "v2"} {
		if strings.Count(said, name+"/mem_file ") != 1 {
			t.Errorf("ls --tree does not show %s once:\n%s", name, said)
		}
	}
	refused(t, exitParent, []string{"verify", f.dir}, "ancestor of itself")
	refused(t, exitNeeded, []string{"rm", f.dir, "base"}, "v1/mem_file")
	sabrefs(t, "rm", f.dir, "v2", "v1", "base", "side")
}

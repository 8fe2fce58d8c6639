package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sabrefs/store"
)

// writeDiff writes a memory file that has only some pages of memory.
func writeDiff(t *testing.T, path string, memory []byte, pages ...int) string {
	t.Helper()
	file, err := os.Create(path)
	noError(t, err)
	defer file.Close()
	noError(t, file.Truncate(int64(len(memory))))
	for _, page := range pages {
		begin := page * store.PageBytes
		_, err := file.WriteAt(memory[begin:min(begin+store.PageBytes, len(memory))], int64(begin))
		noError(t, err)
	}
	return path
}

func TestPackParent(t *testing.T) {
	f := newFamily(t)
	f.wantMemory(t, "base", "v1", "v2", "side")
	dir := realTempDir(t)
	source := writeFile(t, filepath.Join(dir, "mem_file"), f.memory["v2"])
	image := filepath.Join(dir, "child.sabre")
	said := sabrefs(t, "pack", "--parent", f.image("v1"), source, image)
	for _, want := range []string{image + ": ", "inherited (depth 2)"} {
		if !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
			t.Errorf("pack --parent does not mention %q in one line: %s", want, said)
		}
	}
	said = sabrefs(t, "pack", "--json", "--force", "--parent", f.image("v1"), source, image)
	want := append(slices.Clone(packKeys), "parent_uuid")
	slices.Sort(want)
	if keys := keysOf(t, said); !slices.Equal(keys, want) {
		t.Errorf("pack --json --parent has %q, want %q", keys, want)
	}
	row := decodeJSON[packRow](t, said)
	parent, err := store.ReadHeader(f.image("v1"))
	noError(t, err)
	changed := int64(len(memberPages["v2"]))
	if row.Depth != 2 || row.ParentUUID != parent.UUID.String() || row.StoredPages != changed ||
		row.ParentPages+row.ZeroPages+row.StoredPages != samplePages {
		t.Errorf("pack --json --parent says %+v", row)
	}
	raw := filepath.Join(dir, "raw")
	sabrefs(t, "unpack", image, raw)
	wantContent(t, raw, f.memory["v2"])
	sabrefs(t, "verify", image)
}

// TestPackParentDirectory: each memory file of a snapshot has its parent under its own
// path.
func TestPackParentDirectory(t *testing.T) {
	dir := realTempDir(t)
	snapshot, next := filepath.Join(dir, "snapshot"), filepath.Join(dir, "next")
	memory, other := writeSnapshot(t, snapshot), textMemory(30)
	writeFile(t, filepath.Join(makeDir(t, filepath.Join(snapshot, "disks")), "memory.bin"), other)
	copyTree(t, snapshot, next)
	writeFile(t, filepath.Join(next, "mem_file"), changedPages(memory, 1, 5))
	writeFile(t, filepath.Join(next, "disks", "memory.bin"), changedPages(other, 1, 29))
	base, child := filepath.Join(dir, "base"), filepath.Join(dir, "child")
	sabrefs(t, "pack", snapshot, base)
	row := decodeJSON[snapshotRow](t, sabrefs(t, "pack", "--json", "--parent", base, next, child))
	if len(row.Images) != 2 || row.Images[0].StoredPages != 1 || row.Images[1].StoredPages != 1 || row.Images[0].Depth != 1 {
		t.Errorf("pack --json --parent of a directory says %+v", row)
	}
	moved := filepath.Join(makeDir(t, filepath.Join(dir, "elsewhere")), "base")
	noError(t, os.Rename(base, moved)) // and the child with it
	noError(t, os.Rename(child, filepath.Join(dir, "elsewhere", "child")))
	out := filepath.Join(dir, "out")
	sabrefs(t, "unpack", filepath.Join(dir, "elsewhere", "child"), out)
	wantContent(t, filepath.Join(out, "mem_file"), changedPages(memory, 1, 5))
	wantContent(t, filepath.Join(out, "disks", "memory.bin"), changedPages(other, 1, 29))

	noError(t, os.Remove(filepath.Join(moved, "disks", "memory.bin.sabre")))
	refused(t, exitParent, []string{"pack", "--parent", moved, next, child}, "disks/memory.bin", moved)
	refused(t, exitUsage, []string{"pack", "--parent", filepath.Join(moved, "mem_file.sabre"), next, child}, "2 memory files")
	wantNames(t, dir, "elsewhere", "next", "out", "snapshot")
}

func TestPackDiff(t *testing.T) {
	f := newFamily(t)
	dir := realTempDir(t)
	want := changedPages(f.memory["v1"], 9, 8, 199-1)
	clear(want[5*store.PageBytes:][:store.PageBytes]) // present and zero, which it was not
	diff := writeDiff(t, filepath.Join(dir, "mem_file"), want, 5, 8, 198)
	image, raw := filepath.Join(dir, "image"), filepath.Join(dir, "raw")
	row := decodeJSON[packRow](t, sabrefs(t, "pack", "--json", "--diff", "--parent", f.image("v1"), diff, image))
	if row.StoredPages != 2 || row.Depth != 2 {
		t.Errorf("pack --diff says %+v", row)
	}
	sabrefs(t, "unpack", image, raw)
	wantContent(t, raw, want)

	// the same, dense and with a bitmap: what has no bit does not count
	dense := bytes.Repeat([]byte{0xee}, len(want))
	bitmap := make([]byte, samplePages/8)
	for _, page := range []int{5, 8, 198} {
		copy(dense[page*store.PageBytes:][:store.PageBytes], want[page*store.PageBytes:])
		bitmap[page/8] |= 1 << (page % 8)
	}
	source := writeFile(t, filepath.Join(dir, "dense"), dense)
	bits := writeFile(t, filepath.Join(dir, "dirty"), bitmap)
	sabrefs(t, "pack", "--force", "--bitmap", bits, "--parent", f.image("v1"), source, image)
	sabrefs(t, "unpack", "--force", image, raw)
	wantContent(t, raw, want)
	refused(t, exitNotFound, []string{"pack", "--force", "--bitmap", bits + "x", "--parent", f.image("v1"), source, image}, bits+"x")
	sabrefs(t, "unpack", "--force", image, raw) // it is what it was
	wantContent(t, raw, want)
}

func TestPackDiffDirectory(t *testing.T) {
	f := newFamily(t)
	snapshot := makeDir(t, filepath.Join(realTempDir(t), "snapshot"))
	f.memory["v3"] = changedPages(f.memory["v2"], 3, 30)
	writeDiff(t, filepath.Join(snapshot, "mem_file"), f.memory["v3"], 30)
	sabrefs(t, "pack", "--diff", "--parent", filepath.Join(f.dir, "v2"), snapshot, filepath.Join(f.dir, "v3"))
	f.wantMemory(t, "v3")
}

// TestPackChildRefuses: nothing appears.
func TestPackChildRefuses(t *testing.T) {
	f := newFamily(t)
	dir := realTempDir(t)
	source := writeFile(t, filepath.Join(dir, "mem_file"), f.memory["v1"])
	small := writeFile(t, filepath.Join(dir, "small"), f.memory["v1"][:8*store.PageBytes])
	missing, image := filepath.Join(dir, "missing"), filepath.Join(dir, "x")
	for _, c := range []struct {
		code  int
		args  []string
		words []string
	}{
		{exitUsage, []string{"--diff", source, image}, []string{"--diff without --parent"}},
		{exitUsage, []string{"--bitmap", source, source, image}, []string{"--bitmap without --parent"}},
		{exitUsage, []string{"--parent-dir", dir, source, image}, []string{"--parent-dir without --parent"}},
		{exitUsage, []string{"--parent", f.dir + "/base", "--bitmap", source, dir, image}, []string{"--bitmap", "single"}},
		{exitUsage, []string{"--parent", f.image("base"), "--parent-dir", source, source, image}, []string{"--parent-dir", "not a directory"}},
		{exitNotFound, []string{"--parent", f.image("base"), "--parent-dir", missing, source, image}, []string{"--parent-dir", missing}},
		{exitNotFound, []string{"--parent", missing, source, image}, []string{"--parent", missing}},
		{exitDamaged, []string{"--parent", source, source, image}, []string{source, "not a sabrefs image"}},
		{exitParent, []string{"--parent", f.image("base"), small, image}, []string{f.image("base"), fmt.Sprint(8 * store.PageBytes)}},
	} {
		refused(t, c.code, append([]string{"pack"}, c.args...), c.words...)
	}
	wantNames(t, dir, "mem_file", "small")
	refused(t, exitParent, []string{"pack", "--force", "--parent", f.image("v1"), source, f.image("base")}, f.image("base"))
	snapshot := makeDir(t, filepath.Join(dir, "snapshot"))
	noError(t, os.Rename(source, filepath.Join(snapshot, "mem_file")))
	for _, name := range []string{"v1", "base"} {
		refused(t, exitParent, []string{"pack", "--force", "--parent", filepath.Join(f.dir, "v1"), snapshot, filepath.Join(f.dir, name)}, "replace", f.image(name))
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
}

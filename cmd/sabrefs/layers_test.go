package main

import (
	"os"
	"path/filepath"
	"testing"

	"sabrefs/store"
)

// family is a store with a chain of three snapshots, base <- v1 <- v2, and a second
// child of base, side.
type family struct {
	dir    string
	memory map[string][]byte // by the name of the snapshot
}

func (f *family) image(name string) string { return filepath.Join(f.dir, name, "mem_file.sabre") }

// memberPages are the pages in which a member differs from its parent. Others are of no
// use to see who has which content.
var memberPages = map[string][]int{"v1": {4, 100}, "v2": {12, 101, 150}, "side": {20}}

// newFamily packs it in a directory of its own.
func newFamily(t *testing.T) *family {
	t.Helper()
	f := &family{dir: makeDir(t, filepath.Join(realTempDir(t), "store")), memory: map[string][]byte{}}
	f.add(t, "base", "")
	f.add(t, "v1", "base")
	f.add(t, "v2", "v1")
	f.add(t, "side", "base")
	return f
}

// add packs a snapshot against the one that is its parent, if there is one.
func (f *family) add(t *testing.T, name, parent string) {
	t.Helper()
	f.memory[name] = guestMemory(samplePages)
	if parent != "" {
		f.memory[name] = changedPages(f.memory[parent], byte(len(f.memory)), memberPages[name]...)
	}
	snapshot := makeDir(t, filepath.Join(realTempDir(t), name))
	writeFile(t, filepath.Join(snapshot, "mem_file"), f.memory[name])
	writeFile(t, filepath.Join(snapshot, "snapshot_file"), []byte("state of "+name))
	args := []string{"pack", snapshot, filepath.Join(f.dir, name)}
	if parent != "" {
		args = append(args, "--parent", filepath.Join(f.dir, parent))
	}
	sabrefs(t, args...)
}

// changedPages returns memory in which some pages are others.
func changedPages(memory []byte, seed byte, pages ...int) []byte {
	changed := append([]byte(nil), memory...)
	for _, page := range pages {
		fillText(changed[page*store.PageBytes:][:store.PageBytes], int(seed)*1000+page)
	}
	return changed
}

// wantMemory fails if a member of the family does not hold its memory.
func (f *family) wantMemory(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		raw := filepath.Join(realTempDir(t), "raw")
		sabrefs(t, "unpack", f.image(name), raw)
		wantContent(t, raw, f.memory[name])
	}
}

// replace puts an image of other content to the place of a member.
func (f *family) replace(t *testing.T, name string) {
	t.Helper()
	other := writeFile(t, filepath.Join(realTempDir(t), "mem_file"), textMemory(samplePages))
	sabrefs(t, "pack", "--force", other, f.image(name))
}

// copyTree copies a directory of small files.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	noError(t, os.CopyFS(to, os.DirFS(from)))
}

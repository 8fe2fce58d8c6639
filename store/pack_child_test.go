package store

import (
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// TestChildOfWhatItReplaces wants a snapshot that would take its parent away to be
// refused, under whatever name the parent is in it.
func TestChildOfWhatItReplaces(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "snapshot"), filepath.Join(dir, "store", "guest")
	wantNoError(t, os.MkdirAll(src, 0o755))
	wantNoError(t, os.MkdirAll(filepath.Dir(dst), 0o755))
	writeFile(t, filepath.Join(src, "mem_file"), goldenChildMemory())
	_, err := PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{})
	wantNoError(t, err)
	for _, name := range []string{"mem_file.sabre", "base.sabre"} {
		parent := writeFile(t, filepath.Join(dst, name), goldenImage(t))
		_, err := PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{Parent: parent, Overwrite: true})
		wantClass(t, err, ErrParent)
		wantContent(t, parent, goldenMemory())
	}
}

// TestChildOfSnapshot wants a child that is packed into a snapshot directory to find
// its parent from where it ends up.
func TestChildOfSnapshot(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "snapshot")
	wantNoError(t, os.MkdirAll(filepath.Join(src, "deep"), 0o755))
	writeFile(t, filepath.Join(src, "deep", "mem_file"), goldenChildMemory())
	parent := writeFile(t, filepath.Join(dir, "golden.sabre"), goldenImage(t))
	result, err := PackSnapshot(t.Context(), src, filepath.Join(dir, "guest"), MemoryNames{}, PackOptions{Parent: parent})
	wantNoError(t, err)
	wantEqual(t, "parent pages", result.Images["deep/mem_file"].ParentPages, 4)
	child := filepath.Join(dir, "guest", "deep", "mem_file.sabre")
	wantContent(t, child, goldenChildMemory())
	_, ref, err := ReadParentRef(child)
	wantNoError(t, err)
	wantEqual(t, "place of the parent", ref.Path, "../../golden.sabre")

	// What is moved together stays together.
	moved := filepath.Join(dir, "elsewhere")
	wantNoError(t, os.MkdirAll(moved, 0o755))
	wantNoError(t, os.Rename(filepath.Join(dir, "guest"), filepath.Join(moved, "guest")))
	wantNoError(t, os.Rename(parent, filepath.Join(moved, "golden.sabre")))
	wantContent(t, filepath.Join(moved, "guest", "deep", "mem_file.sabre"), goldenChildMemory())
}

// TestChildOfLargerFrames packs children of a stale image, whose root has larger frames
// by now than it had: their entries need more bits.
func TestChildOfLargerFrames(t *testing.T) {
	r := seedtest.Rand(t)
	dir := t.TempDir()
	raw := guestMemory(r, 200*PageBytes)
	root, middle := filepath.Join(dir, "root.sabre"), filepath.Join(dir, "middle.sabre")
	packTo(t, raw, root, PackOptions{FramePages: 1})
	changed := changedMemory(r, raw)
	packTo(t, changed, middle, PackOptions{FramePages: 1, Parent: root})
	_, err := RepackFile(t.Context(), root, PackOptions{FramePages: MaxFramePages})
	wantNoError(t, err)
	last := changedMemory(r, changed)
	child := filepath.Join(dir, "child.sabre")
	packTo(t, last, child, PackOptions{FramePages: 1, Parent: middle})
	wantContent(t, child, last)
	_, err = RebaseFile(t.Context(), middle, "", PackOptions{})
	wantNoError(t, err)
	wantContent(t, middle, changed)
	wantContent(t, child, last)
}

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/seedtest"
)

func remove(dir string, names ...string) error {
	_, err := Remove(context.Background(), dir, names, RemoveOptions{})
	return err
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "a", "b", "c")
	for _, names := range [][]string{{"a"}, {"b/mem_file"}, {"a", "b"}, {"c", "a"}} {
		wantClass(t, remove(dir, names...), ErrNeeded)
	}
	wantNames(t, dir, "a", "b", "c")
	info, err := os.Stat(chain[2])
	wantNoError(t, err)
	result, err := Remove(context.Background(), dir, []string{"c/mem_file"}, RemoveOptions{})
	wantNoError(t, err)
	wantEqual(t, "number of what is removed", len(result.Removed), 1)
	wantEqual(t, "what is removed", result.Removed[0], Removed{"c/mem_file", 1, info.Size()})
	wantNames(t, filepath.Join(dir, "c"))
	wantNoError(t, remove(dir, "a", "b"))
	wantNames(t, dir, "c")
}

func TestRemoveForce(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	wantNoError(t, os.Symlink(dir, link))
	packFamily(t, seedtest.Rand(t), dir, "a", "b", "c")
	result, err := Remove(context.Background(), link, []string{"a", "b"}, RemoveOptions{Force: true})
	wantNoError(t, err)
	if want := []string{filepath.Join(link, "c", "mem_file.sabre")}; !slices.Equal(result.Orphans, want) {
		t.Fatalf("orphans are %q, want %q", result.Orphans, want)
	}
	wantEqual(t, "what goes first", result.Removed[0].Name, "b")
	wantNames(t, dir, "c")
}

// TestRemoveKeepsOpenImages: who has an image open keeps it.
func TestRemoveKeepsOpenImages(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "a", "b")
	img := openImage(t, chain[1])
	want, err := readAll(img)
	wantNoError(t, err)
	wantNoError(t, remove(dir, "a", "b"))
	got, err := readAll(img)
	wantNoError(t, err)
	wantBytes(t, "content of what is removed", got, want)
	wantNames(t, dir)
}

// TestRemoveLocks: removing and packing against the same image exclude each other.
func TestRemoveLocks(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "a")
	parent, err := openAsParent(chain[0], OpenOptions{})
	wantNoError(t, err)
	wantClass(t, remove(dir, "a"), ErrBusy)
	wantNoError(t, parent.Close())

	r, err := newRemoval(dir)
	wantNoError(t, err)
	wantNoError(t, r.add("a"))
	wantNoError(t, r.lockImages())
	_, err = openAsParent(chain[0], OpenOptions{})
	wantClass(t, err, ErrBusy)
	wantClass(t, remove(dir, "a"), ErrBusy)
	r.close()

	late, err := Open(chain[0], OpenOptions{}) // before it is removed, and locks it after
	wantNoError(t, err)
	wantNoError(t, remove(dir, "a"))
	wantClass(t, late.lockParent(), ErrBusy)
	wantNoError(t, late.Close())
}

// TestRemoveInterrupted: what a removal that was killed leaves is hidden, and goes with
// the next snapshot that is packed to the same place.
func TestRemoveInterrupted(t *testing.T) {
	dir := t.TempDir()
	packFamily(t, seedtest.Rand(t), dir, "a")
	aside := filepath.Join(dir, ".a"+stagingSuffix)
	wantNoError(t, unix.Rename(filepath.Join(dir, "a"), aside))
	images, err := ImagesBelow(dir)
	wantNoError(t, err)
	wantEqual(t, "number of images", len(images), 0)
	source := t.TempDir()
	writeFile(t, filepath.Join(source, "mem_file"), make([]byte, PageBytes))
	_, err = PackSnapshot(context.Background(), source, filepath.Join(dir, "a"), MemoryNames{}, PackOptions{})
	wantNoError(t, err)
	wantNames(t, dir, "a")
	wantNoError(t, remove(dir, "a"))
	wantNames(t, dir)
}

func TestRemoveCanceled(t *testing.T) {
	dir := t.TempDir()
	packFamily(t, seedtest.Rand(t), dir, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Remove(ctx, dir, []string{"a"}, RemoveOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	wantNames(t, dir, "a")
}

package store

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// packFamily packs a chain into dir, each image the child of the one before it, and
// returns the paths.
func packFamily(tb testing.TB, random *rand.Rand, dir string, names ...string) []string {
	tb.Helper()
	raw := make([]byte, 40*PageBytes)
	for i := range raw {
		raw[i] = byte(random.Uint32())
	}
	var paths []string
	for i, name := range names {
		raw[i*PageBytes] ^= 1
		path := filepath.Join(dir, name, "mem_file"+ImageSuffix)
		wantNoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		opt := PackOptions{Raw: true}
		if i > 0 {
			opt.Parent = paths[i-1]
		}
		_, err := PackFile(context.Background(), writeFile(tb, filepath.Join(tb.TempDir(), "mem_file"), raw), path, opt)
		wantNoError(tb, err)
		paths = append(paths, path)
	}
	return paths
}

// wantDependents checks who needs an image.
func wantDependents(tb testing.TB, dir, image string, want ...string) {
	tb.Helper()
	images, err := ImagesBelow(dir)
	wantNoError(tb, err)
	got, err := ReadFamily(images).Dependents(image)
	wantNoError(tb, err)
	if !slices.Equal(got, want) {
		tb.Fatalf("%q need %s, want %q", got, image, want)
	}
}

func TestDependents(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "a", "b", "c")
	wantDependents(t, dir, chain[0], chain[1])
	wantDependents(t, dir, chain[1], chain[2])
	wantDependents(t, dir, chain[2])

	// a twin of the parent is not needed, until the parent is gone
	twin := writeFile(t, filepath.Join(dir, "twin"+ImageSuffix), readFile(t, chain[0]))
	wantDependents(t, dir, twin)
	wantNoError(t, os.Remove(chain[0]))
	wantDependents(t, dir, twin, chain[1])
	third := writeFile(t, filepath.Join(dir, "third"+ImageSuffix), readFile(t, twin))
	wantDependents(t, dir, twin, chain[1])
	wantDependents(t, dir, third, chain[1])

	// what has other content is not the parent, wherever it is
	writeFile(t, chain[0], readFile(t, chain[2]))
	wantDependents(t, dir, chain[0])
	wantDependents(t, dir, third, chain[1])

	// a parent that cannot be read is that of who remembers it
	writeFile(t, chain[0], []byte(magic))
	wantDependents(t, dir, chain[0], chain[1])
	wantDependents(t, dir, third, chain[1])
}

func TestFamilyUnreadable(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "a", "b")
	images := []string{
		writeFile(t, filepath.Join(dir, "other"), []byte("no image")),
		filepath.Join(dir, "missing"), chain[0], chain[1],
	}
	wantEqual(t, "errors of what needs nothing", len(ReadFamily(images).Unreadable()), 0)
	wantNoError(t, os.Truncate(chain[1], 5000))
	unreadable := ReadFamily(images).Unreadable()
	wantEqual(t, "errors", len(unreadable), 1)
	wantClass(t, unreadable[0], ErrTruncated)
}

func TestImagesBelow(t *testing.T) {
	dir := t.TempDir()
	chain := packFamily(t, seedtest.Rand(t), dir, "b", "a", ".a"+stagingSuffix)
	writeFile(t, filepath.Join(dir, tempPrefix+"x"), nil)
	writeFile(t, filepath.Join(dir, "file"), nil)
	wantNoError(t, os.Symlink(chain[0], filepath.Join(dir, "link"+ImageSuffix)))
	wantNoError(t, os.Symlink(dir, filepath.Join(dir, "loop")))
	got, err := ImagesBelow(filepath.Join(dir, "loop"))
	wantNoError(t, err)
	root := filepath.Join(dir, "loop")
	if want := []string{filepath.Join(root, "a", "mem_file.sabre"), filepath.Join(root, "b", "mem_file.sabre")}; !slices.Equal(got, want) {
		t.Fatalf("found %q, want %q", got, want)
	}
}

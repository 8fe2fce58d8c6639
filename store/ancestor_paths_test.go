package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// TestAncestorPaths: an image remembers where all of its ancestors are. It is a hint:
// what is wrong with it is told by Verify, and hinders nobody who reads.
func TestAncestorPaths(t *testing.T) {
	f := newFamily(t, seedtest.Rand(t), 4, PackOptions{})
	last := f.paths[3]
	img := openImage(t, last)
	paths, err := img.ancestorPaths()
	wantNoError(t, err)
	want := []string{filepath.Base(f.paths[0]), filepath.Base(f.paths[1])}
	wantEqual(t, "paths", fmt.Sprint(paths), fmt.Sprint(want))
	parents := NewParents(nil)
	for _, path := range paths {
		wantNoError(t, parents.requestEnds(last, path))
	}
	wantClass(t, parents.requestEnds(last, "nowhere.sabre"), os.ErrNotExist)
	wantClass(t, parents.requestEnds(last, "/etc/passwd"), ErrParent)
	img.requestAncestors(parents) // ends with the image

	image := readFile(t, last)
	sectionBytes(image, SectionAncestorPaths)[0] ^= 1
	damaged := writeFile(t, filepath.Join(f.dir, "damaged.sabre"), image)
	img = openImage(t, damaged)
	img.requestAncestors(parents)
	wantContentOf(t, img, f.raws[3])
	_, err = img.Verify(t.Context(), nil)
	wantClass(t, err, ErrCorrupt)
}

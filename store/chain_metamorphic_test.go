package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"sabrefs/tests/seedtest"
)

// kin is an image of a random family tree.
type kin struct {
	path   string
	raw    []byte
	digest string
	parent *kin // whose content it was packed against; nil if it has none
}

// isAncestorOf follows the tree; an image is its own ancestor.
func (k *kin) isAncestorOf(other *kin) bool {
	for ; other != nil; other = other.parent {
		if other == k {
			return true
		}
	}
	return false
}

// kindred are images in a few directories, what is done to them at random, and
// what was done.
type kindred struct {
	t      *testing.T
	r      *rand.Rand
	dirs   []string
	images []*kin
	did    []string
}

func newKindred(t *testing.T, r *rand.Rand) *kindred {
	t.Helper()
	root := t.TempDir()
	g := &kindred{t: t, r: r, dirs: []string{root, filepath.Join(root, "a"), filepath.Join(root, "b", "c")}}
	for _, dir := range g.dirs {
		wantNoError(t, os.MkdirAll(dir, 0o700))
	}
	return g
}

func (g *kindred) any() *kin { return g.images[g.r.IntN(len(g.images))] }

func (g *kindred) options() PackOptions {
	opt := randomOptions(g.r)
	opt.UUID = uuid.Nil
	if opt.Level > LevelDefault {
		opt.Level = LevelDefault
	}
	if g.r.IntN(3) == 0 {
		opt.WorkingSet = singles(uint32(g.r.IntN(20)), uint32(g.r.IntN(20)))
	}
	return opt
}

func (g *kindred) log(format string, args ...any) {
	g.did = append(g.did, fmt.Sprintf(format, args...))
}

func (k *kin) name() string { return filepath.Base(k.path) }

// add packs a new image.
func (g *kindred) add(raw []byte, parent *kin, opt PackOptions, src string) {
	g.t.Helper()
	k := &kin{raw: raw, parent: parent, digest: naiveDigest(raw).String()}
	k.path = filepath.Join(g.dirs[g.r.IntN(len(g.dirs))], fmt.Sprintf("%d.sabre", len(g.images)))
	if src == "" {
		src = writeFile(g.t, filepath.Join(g.t.TempDir(), "mem_file"), raw)
	}
	if parent != nil {
		opt.Parent = parent.path
	}
	g.log("pack %s with parent %q, diff %t (bitmap %t), %d bytes, %v of %d pages", k.name(), filepath.Base(opt.Parent), opt.Diff, opt.DiffBitmap != "", len(raw), opt.Codec, opt.FramePages)
	result, err := PackFile(g.t.Context(), src, k.path, opt)
	g.done(err, k, result)
	g.images = append(g.images, k)
}

// done checks what an operation says of the image that it wrote.
func (g *kindred) done(err error, k *kin, result PackResult) {
	g.t.Helper()
	g.fatalIf(err)
	if result.Digest != k.digest {
		g.fatalIf(fmt.Errorf("digest of %s is %s, want %s", k.name(), result.Digest, k.digest))
	}
}

func (g *kindred) fatalIf(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%v\nafter:\n%s", err, strings.Join(g.did, "\n"))
	}
}

// step does one thing.
func (g *kindred) step() {
	g.t.Helper()
	switch k := g.any(); g.r.IntN(10) {
	case 0:
		g.add(k.raw, nil, g.options(), "") // the same content once more
	case 1, 2:
		raw := changedMemory(g.r, k.raw)
		if g.r.IntN(3) == 0 {
			raw = grownMemory(g.r, raw, g.r.IntN(30*PageBytes))
		}
		g.add(raw, k, g.options(), "")
	case 3, 4:
		g.addDiff(k)
	case 5, 6:
		g.log("repack %s", k.name())
		opt := randomRepack(g.r, pagesOf(int64(len(k.raw))))
		result, err := RepackFile(g.t.Context(), k.path, opt)
		g.done(err, k, result)
	case 7:
		g.flatten(k)
	default:
		g.rebase(k)
	}
}

func (g *kindred) addDiff(k *kin) {
	g.t.Helper()
	d := newDiff(g.t, g.r, k.raw, len(k.raw)+g.r.IntN(2)*g.r.IntN(20*PageBytes))
	opt := g.options()
	if opt.Diff = true; g.r.IntN(2) == 0 {
		opt.DiffBitmap = d.bitmap
	}
	g.add(d.want, k, opt, d.diff)
}

func (g *kindred) flatten(k *kin) {
	g.t.Helper()
	if k.parent == nil {
		return
	}
	g.log("flatten %s", k.name())
	result, err := FlattenFile(g.t.Context(), k.path, g.options())
	g.done(err, k, result)
	k.parent = nil
	header, err := ReadHeader(k.path)
	g.fatalIf(err)
	if header.HasParent() || header.Depth != 0 {
		g.fatalIf(fmt.Errorf("%s was flattened and has a parent", k.name()))
	}
}

// rebase puts an image on another one that has the content of its parent, or on the
// one that it has.
func (g *kindred) rebase(k *kin) {
	g.t.Helper()
	if k.parent == nil {
		return
	}
	parent, newParent := k.parent, ""
	if other := g.any(); bytes.Equal(other.raw, parent.raw) && !k.isAncestorOf(other) {
		parent, newParent = other, other.path
	}
	g.log("rebase %s to %q", k.name(), filepath.Base(newParent))
	result, err := RebaseFile(g.t.Context(), k.path, newParent, PackOptions{})
	g.done(err, k, result)
	k.parent = parent
	img, err := Open(k.path, OpenOptions{})
	g.fatalIf(err)
	defer img.Close()
	if img.Parent().Path() != parent.path || img.IsStale() {
		g.fatalIf(fmt.Errorf("%s is stale (%t) and its parent is at %s, want %s", k.name(), img.IsStale(), img.Parent().Path(), parent.path))
	}
}

// check reads and verifies all images.
func (g *kindred) check() {
	g.t.Helper()
	parents := NewParents(nil)
	for _, k := range g.images {
		img, err := Open(k.path, OpenOptions{Parents: parents})
		g.fatalIf(err)
		got, err := readAll(img)
		if err == nil && !bytes.Equal(got, k.raw) {
			err = fmt.Errorf("%s (stale %t) has other bytes", k.name(), img.IsStale())
		}
		g.fatalIf(err)
		result, err := img.Verify(g.t.Context(), nil)
		g.done(err, k, PackResult{Digest: result.Digest})
		if layers := img.Layers(); len(layers) != depthOf(k)+1 {
			g.fatalIf(fmt.Errorf("%s has %d layers, want %d", k.name(), len(layers), depthOf(k)+1))
		}
		g.fatalIf(img.Close())
	}
}

func depthOf(k *kin) (depth int) {
	for ; k.parent != nil; k = k.parent {
		depth++
	}
	return depth
}

// TestChainMetamorphic does at random what can be done to images: whatever it was,
// all of them have the bytes and the digest that they had.
func TestChainMetamorphic(t *testing.T) {
	r := seedtest.Rand(t)
	small := func() []byte { return guestMemory(r, 20*PageBytes+r.IntN(100*PageBytes)) }
	large := make([]byte, chunkRawBytes+5*PageBytes+r.IntN(9*PageBytes)) // two chunks of the page map
	copy(large, guestMemory(r, 20*PageBytes))
	fillText(r, large[chunkRawBytes:])
	for _, c := range []struct {
		raw   []byte
		steps int
	}{{small(), 14}, {small(), 14}, {large, 7}} {
		g := newKindred(t, r)
		g.add(c.raw, nil, g.options(), "")
		for range c.steps {
			g.step()
			g.check()
		}
		for _, k := range g.images { // what is left over in the end
			wantUnpacked(t, k.path, k.raw)
		}
		var names []string
		for _, k := range g.images {
			if filepath.Dir(k.path) == g.dirs[1] {
				names = append(names, k.name())
			}
		}
		wantNames(t, g.dirs[1], names...)
	}
}

// TestChainOfTwenty: whatever becomes of a layer in the middle, its descendants read
// the same; they are stale until they are rebased.
func TestChainOfTwenty(t *testing.T) {
	const generations = 21
	r := seedtest.Rand(t)
	f := newFamily(t, r, generations, PackOptions{FramePages: 4, Codec: CodecLZ4})
	f.wantContents(t)
	last := f.paths[generations-1]
	wantStale(t, last, false)
	middle := 1 + r.IntN(generations-2)
	acts := []struct {
		name string
		act  func(path string) (PackResult, error)
	}{
		{"repack", func(path string) (PackResult, error) {
			return RepackFile(t.Context(), path, PackOptions{Codec: CodecZstd, FramePages: 8})
		}},
		{"repack with a working set", func(path string) (PackResult, error) {
			return RepackFile(t.Context(), path, PackOptions{WorkingSet: []PageRun{{7, 30}, {90, 2}}})
		}},
		{"flatten", func(path string) (PackResult, error) { return FlattenFile(t.Context(), path, PackOptions{}) }},
	}
	for _, c := range acts {
		result, err := c.act(f.paths[middle])
		wantNoError(t, err)
		wantEqual(t, c.name+": digest", result.Digest, naiveDigest(f.raws[middle]).String())
		wantContent(t, f.paths[middle], f.raws[middle])
		for i := middle + 1; i < generations; i++ {
			wantStale(t, f.paths[i], true)
			wantContent(t, f.paths[i], f.raws[i])
		}
		for i := middle + 1; i < generations; i++ { // each is fresh if those above it are
			_, err := RebaseFile(t.Context(), f.paths[i], "", PackOptions{})
			wantNoError(t, err)
			wantStale(t, f.paths[i], false)
		}
		f.wantContents(t)
	}
	img := openImage(t, last)
	wantEqual(t, "layers above the one that was flattened", len(img.Layers()), generations-middle)
	wantContentOf(t, img, f.raws[generations-1])

	// a copy of the content elsewhere is as good a parent
	copied := filepath.Join(t.TempDir(), "copy.sabre")
	packTo(t, f.raws[generations-2], copied, PackOptions{})
	result, err := RebaseFile(t.Context(), last, copied, PackOptions{})
	wantNoError(t, err)
	wantEqual(t, "depth over a copy", result.Depth, 1)
	for i := range generations - 1 {
		wantNoError(t, os.Remove(f.paths[i]))
	}
	wantContent(t, last, f.raws[generations-1])
	wantNoError(t, os.Remove(copied))
	wantSays(t, openError(t, last, OpenOptions{}), ErrParent, last, "copy.sabre")
}

// TestFlattenAndRebaseRefusals leave the image as it is.
func TestFlattenAndRebaseRefusals(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(9), 3, PackOptions{})
	child := f.paths[1]
	whole := readFile(t, child)
	rebase := func(path, parent string) error {
		_, err := RebaseFile(t.Context(), path, parent, PackOptions{})
		return err
	}
	wantSays(t, rebase(child, filepath.Join(f.dir, "missing.sabre")), os.ErrNotExist, "missing.sabre")
	wantSays(t, rebase(child, f.paths[2]), ErrParent, child, f.paths[2]) // its own child
	wantSays(t, rebase(child, child), ErrParent, child)
	wantSays(t, rebase(f.paths[2], f.paths[0]), ErrParent, f.paths[2], f.paths[0]) // other content
	wantClass(t, rebase(child, f.dir), ErrNotImage)
	heir := filepath.Join(f.dir, "image3.sabre") // it has the content of the root, and descends from the child
	packTo(t, f.raws[0], heir, PackOptions{Parent: child})
	wantSays(t, rebase(child, heir), ErrParent, child)
	wantSays(t, rebase(f.paths[0], ""), ErrOption, f.paths[0])
	wantBytes(t, "child", readFile(t, child), whole)
	wantNames(t, f.dir, "image0.sabre", "image1.sabre", "image2.sabre", "image3.sabre")
	wantContent(t, heir, f.raws[0])

	root := readFile(t, f.paths[0])
	_, err := FlattenFile(t.Context(), f.paths[0], PackOptions{})
	wantSays(t, err, ErrOption, f.paths[0])
	wantBytes(t, "root", readFile(t, f.paths[0]), root)
	f.wantContents(t)
}

// TestChainKeepsWorkingSet: a child's working set is its own and then that of its
// parent, whichever image stores the pages; it keeps it without a parent.
func TestChainKeepsWorkingSet(t *testing.T) {
	parentSet, own := []PageRun{{10, 5}, {2, 3}}, []PageRun{{30, 4}, {11, 2}, {90, 9}}
	wantSet := func(path string, want ...int64) {
		t.Helper()
		runs, err := openImage(t, path).WorkingSet()
		wantNoError(t, err)
		pages := touchOrder(runs)
		wantEqual(t, "working set", fmt.Sprint(pages), fmt.Sprint(want))
	}
	f := newFamily(t, seedtest.Fixed(10), 1, PackOptions{WorkingSet: parentSet})
	child := filepath.Join(f.dir, "child.sabre")
	raw := changedMemory(seedtest.Fixed(12), f.raws[0])
	packTo(t, raw, child, PackOptions{Parent: f.paths[0]})
	wantSet(child, 10, 11, 12, 13, 14, 2, 3, 4)
	packTo(t, raw, child, PackOptions{Parent: f.paths[0], WorkingSet: own, Overwrite: true})
	both := []int64{30, 31, 32, 33, 11, 12, 90, 91, 92, 93, 94, 95, 96, 97, 98, 10, 13, 14, 2, 3, 4}
	wantSet(child, both...)
	wantContent(t, child, raw)
	_, err := FlattenFile(t.Context(), child, PackOptions{})
	wantNoError(t, err)
	wantSet(child, both...)
	wantContent(t, child, raw)
	packTo(t, raw, child, PackOptions{Parent: f.paths[0], WorkingSet: []PageRun{}, Overwrite: true})
	wantSet(child)
	wantContent(t, child, raw)
}

// touchOrder lists the pages of a working set, each where it comes first.
func touchOrder(runs []PageRun) []int64 {
	pages := []int64{}
	for _, run := range runs {
		for page := int64(run.FirstPage); page < int64(run.FirstPage)+int64(run.PageCount); page++ {
			if !slices.Contains(pages, page) {
				pages = append(pages, page)
			}
		}
	}
	return pages
}

package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"sabrefs/tests/seedtest"
)

// changedMemory is the memory of the same guest later: some pages were written,
// some are zero now, some were moved. One page at least is another.
func changedMemory(r *rand.Rand, raw []byte) []byte {
	raw = bytes.Clone(raw)
	pages := len(raw) / PageBytes
	for range 1 + r.IntN(1+min(pages/8, 30)) {
		page := raw[r.IntN(pages)*PageBytes:][:PageBytes]
		switch r.IntN(5) {
		case 0:
			clear(page)
		case 1:
			copy(page, raw[r.IntN(pages)*PageBytes:][:PageBytes])
		default:
			fillPage(r, page, r.IntN(100))
		}
	}
	fillPage(r, raw[r.IntN(pages)*PageBytes:][:PageBytes], r.IntN(100))
	return raw
}

// grownMemory is memory to which lenBytes were added.
func grownMemory(r *rand.Rand, raw []byte, lenBytes int) []byte {
	return append(bytes.Clone(raw), guestMemory(r, lenBytes)...)
}

// packTo packs raw into an image at a path.
func packTo(tb testing.TB, raw []byte, image string, opt PackOptions) PackResult {
	tb.Helper()
	src := writeFile(tb, filepath.Join(tb.TempDir(), "mem_file"), raw)
	result, err := PackFile(tb.Context(), src, image, opt)
	wantNoError(tb, err)
	return result
}

// family are images in one directory, of which each is the child of the one before.
type family struct {
	dir   string
	paths []string
	raws  [][]byte
}

// newFamily packs a guest's memory and then what becomes of it.
func newFamily(tb testing.TB, r *rand.Rand, generations int, opt PackOptions) family {
	tb.Helper()
	f := family{dir: tb.TempDir()}
	raw := guestMemory(r, 120*PageBytes+r.IntN(PageBytes))
	for i := range generations {
		if i > 0 {
			raw, opt.Parent = changedMemory(r, raw), f.paths[i-1]
		}
		path := filepath.Join(f.dir, fmt.Sprintf("image%d.sabre", i))
		packTo(tb, raw, path, opt)
		f.paths, f.raws = append(f.paths, path), append(f.raws, raw)
	}
	return f
}

// wantContents checks what every image holds.
func (f *family) wantContents(tb testing.TB) {
	tb.Helper()
	for i, path := range f.paths {
		wantContent(tb, path, f.raws[i])
	}
}

// wantSays checks the class of an error and that its text has all of the words.
func wantSays(tb testing.TB, err, class error, words ...string) {
	tb.Helper()
	wantClass(tb, err, class)
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			tb.Fatalf("error is %q, want it to say %q", err, word)
		}
	}
}

// openError opens an image only to see how it is refused.
func openError(tb testing.TB, path string, opt OpenOptions) error {
	tb.Helper()
	img, err := Open(path, opt)
	if err == nil {
		wantNoError(tb, img.Close())
	}
	return err
}

// wantStale opens an image and compares whether its ancestors are others.
func wantStale(tb testing.TB, path string, want bool) {
	tb.Helper()
	img, err := Open(path, OpenOptions{})
	wantNoError(tb, err)
	wantEqual(tb, path+" is stale", img.IsStale(), want)
	wantNoError(tb, img.Close())
}

// withSection returns the image with another content of a section, which is put
// before the trailer.
func withSection(image []byte, kind SectionType, content []byte) []byte {
	image = bytes.Clone(image[:len(image)-trailerBytes])
	image = append(image, make([]byte, (tableAlignBytes-len(image)%tableAlignBytes)%tableAlignBytes)...)
	entry := sectionEntry(image, kind)
	binary.LittleEndian.PutUint64(entry[sectionOffField:], uint64(len(image)))
	binary.LittleEndian.PutUint64(entry[sectionLenField:], uint64(len(content)))
	image = append(image, content...)
	image = append(image, make([]byte, (8-len(image)%8)%8+trailerBytes)...)
	binary.LittleEndian.PutUint64(image[hdrFileBytes:], uint64(len(image)))
	reseal(image)
	return image
}

// edit changes an image file and fits its checksums.
func edit(tb testing.TB, path string, changes ...func(image []byte)) {
	tb.Helper()
	image := readFile(tb, path)
	for _, change := range changes {
		change(image)
	}
	reseal(image)
	writeFile(tb, path, image)
}

// TestChildSharesPages: a child has what differs from its parent, wherever the same
// pages are, and says so.
func TestChildSharesPages(t *testing.T) {
	const pages = 300
	dir := t.TempDir()
	parentPath, childPath := filepath.Join(dir, "parent.sabre"), filepath.Join(dir, "child.sabre")
	parentRaw := textMemory(pages)
	parent := packTo(t, parentRaw, parentPath, PackOptions{})
	raw := bytes.Clone(parentRaw)
	copy(raw[7*PageBytes:], parentRaw[20*PageBytes:][:100*PageBytes]) // moved
	clear(raw[150*PageBytes:][:10*PageBytes])
	r := seedtest.Fixed(3)
	for page := 200; page < 205; page++ {
		fillNoise(r, raw[page*PageBytes:][:PageBytes])
	}
	child := packTo(t, raw, childPath, PackOptions{Parent: parentPath})
	wantEqual(t, "stored pages", child.StoredPages, 5)
	wantEqual(t, "zero pages", child.ZeroPages, 10)
	wantEqual(t, "pages of the parent", child.ParentPages, pages-15)
	wantEqual(t, "duplicate pages", child.DuplicatePages, 0)
	wantEqual(t, "parent", child.ParentUUID, parent.UUID.String())
	wantEqual(t, "depth", child.Depth, 1)
	wantContent(t, childPath, raw)
	wantUnpacked(t, childPath, raw)

	header, ref, err := ReadParentRef(childPath)
	wantNoError(t, err)
	wantEqual(t, "remembered place", ref.Path, "parent.sabre")
	wantEqual(t, "remembered parent", ref.UUID, parent.UUID)
	wantEqual(t, "remembered content", ref.Digest.String(), parent.Digest)
	wantEqual(t, "pages of the parent in the header", header.ParentPages, pages-15)
	img := openImage(t, childPath)
	wantEqual(t, "it is stale", img.IsStale(), false)
	wantEqual(t, "first frame", img.FirstFrame(), parent.Frames)
	wantEqual(t, "layers", len(img.Layers()), 2)
	wantEqual(t, "root", img.Layers()[0].Path, parentPath)
	wantEqual(t, "parent", img.Parent().Path(), parentPath)
}

// TestGrownChild: memory may grow, by any number of bytes; then what was the end of
// the parent is within a page, or within a chunk.
func TestGrownChild(t *testing.T) {
	r := seedtest.Rand(t)
	dir := t.TempDir()
	parent, child := filepath.Join(dir, "parent.sabre"), filepath.Join(dir, "child.sabre")
	for _, c := range []struct{ lenBytes, grownBytes int }{
		{0, 0}, {0, 1}, {0, 70*PageBytes + 1}, {1, 1}, {1, PageBytes}, {10*PageBytes - 7, 1}, {10*PageBytes - 7, 7},
		{10*PageBytes - 7, 100}, {10 * PageBytes, 1}, {10 * PageBytes, 40*PageBytes + 1},
		{chunkRawBytes - 5*PageBytes, 10 * PageBytes}, {chunkRawBytes, 1},
	} {
		what := fmt.Sprintf("%d bytes and %d more", c.lenBytes, c.grownBytes)
		raw := make([]byte, c.lenBytes)
		n := min(c.lenBytes, 20*PageBytes) // data at both ends
		copy(raw, guestMemory(r, n))
		fillText(r, raw[c.lenBytes-n:])
		packTo(t, raw, parent, PackOptions{Codec: CodecLZ4, Overwrite: true})
		raw = append(bytes.Clone(raw), make([]byte, c.grownBytes)...)
		fillText(r, raw[len(raw)-min(c.grownBytes, 2*PageBytes):])
		result := packTo(t, raw, child, PackOptions{Codec: CodecLZ4, Parent: parent, Overwrite: true})
		wantEqual(t, what+": digest", result.Digest, naiveDigest(raw).String())
		if result.StoredPages > 4 {
			t.Errorf("%s: %d pages are stored", what, result.StoredPages)
		}
		wantContent(t, child, raw)
		packTo(t, raw[:c.lenBytes], parent, PackOptions{FramePages: 1, Overwrite: true}) // the child is stale
		wantContent(t, child, raw)
	}
}

// TestGrownByCopies: what memory grew by may be pages that the parent has elsewhere,
// also where those have the same place in the pieces that are read at a time.
func TestGrownByCopies(t *testing.T) {
	const pages = segmentPages + 44
	dir := t.TempDir()
	parent, child := filepath.Join(dir, "parent.sabre"), filepath.Join(dir, "child.sabre")
	parentRaw := textMemory(pages)
	raw := append(bytes.Clone(parentRaw), parentRaw[(pages-segmentPages)*PageBytes:][:100*PageBytes]...)
	packTo(t, parentRaw, parent, PackOptions{})
	result := packTo(t, raw, child, PackOptions{Parent: parent})
	wantEqual(t, "stored pages", result.StoredPages, 0)
	wantContent(t, child, raw)
	packTo(t, parentRaw, parent, PackOptions{FramePages: 1, Overwrite: true})
	wantStale(t, child, true)
	wantContent(t, child, raw)
}

// TestChildOfStaleParent: frame numbers that a parent has in its page map may not be
// what they are in the chain, even where they look alike.
func TestChildOfStaleParent(t *testing.T) {
	r := seedtest.Rand(t)
	dir := t.TempDir()
	root, parent, child := filepath.Join(dir, "root.sabre"), filepath.Join(dir, "parent.sabre"), filepath.Join(dir, "child.sabre")
	rootRaw := textMemory(40)
	own := make([]byte, 40*PageBytes)
	fillNoise(r, own)
	half := append(bytes.Clone(own[:20*PageBytes]), rootRaw[20*PageBytes:]...)
	for _, parentRaw := range [][]byte{own, half, rootRaw} {
		for _, pages := range []int{4, 1} { // the same number of frames, and another
			packTo(t, rootRaw, root, PackOptions{FramePages: 4, Overwrite: true})
			packTo(t, parentRaw, parent, PackOptions{FramePages: 4, Parent: root, Overwrite: true})
			packTo(t, rootRaw, root, PackOptions{FramePages: pages, Codec: CodecLZ4, Overwrite: true})
			wantStale(t, parent, true)
			for _, raw := range [][]byte{parentRaw, changedMemory(r, parentRaw)} {
				packTo(t, raw, child, PackOptions{FramePages: 4, Parent: parent, Overwrite: true})
				wantStale(t, child, false)
				wantContent(t, child, raw)
				_, err := RebaseFile(t.Context(), parent, "", PackOptions{})
				wantNoError(t, err)
				wantStale(t, child, true)
				wantContent(t, child, raw)
				wantContent(t, parent, parentRaw)
			}
		}
	}
}

// TestChildOfDiff packs diffs, in both forms, over a chain.
func TestChildOfDiff(t *testing.T) {
	r := seedtest.Rand(t)
	for range 6 {
		f := newFamily(t, r, 2, randomOptions(r))
		d := newDiff(t, r, f.raws[1], len(f.raws[1])+r.IntN(2)*r.IntN(30*PageBytes))
		for i, bitmap := range []string{"", d.bitmap} {
			image := filepath.Join(f.dir, fmt.Sprintf("diff%d.sabre", i))
			result, err := PackFile(t.Context(), d.diff, image, PackOptions{Parent: f.paths[1], Diff: true, DiffBitmap: bitmap})
			wantNoError(t, err)
			wantEqual(t, "digest", result.Digest, naiveDigest(d.want).String())
			wantEqual(t, "depth", result.Depth, 2)
			wantContent(t, image, d.want)
			wantUnpacked(t, image, d.want)
		}
		full := filepath.Join(f.dir, "full.sabre")
		whole := packTo(t, d.want, full, PackOptions{Parent: f.paths[1]})
		header, err := ReadHeader(filepath.Join(f.dir, "diff0.sabre"))
		wantNoError(t, err)
		wantEqual(t, "digest of the same as a whole memory file", whole.Digest, header.Digest.String())
		wantEqual(t, "pages of the parent of both", header.ParentPages, whole.ParentPages)
	}
}

// TestChainOfChunks: a chunk of the page map in which nothing changed is not kept
// again, at any depth, and is found though ancestors are replaced.
func TestChainOfChunks(t *testing.T) {
	const generations, chunks = 5, 2
	r := seedtest.Rand(t)
	dir := t.TempDir()
	f := family{dir: dir}
	raw := make([]byte, (chunks-1)*chunkRawBytes+7*PageBytes)
	for chunk := range chunks {
		copy(raw[chunk*chunkRawBytes:], guestMemory(r, 6*PageBytes))
		fillText(r, raw[chunk*chunkRawBytes:][:PageBytes])
	}
	opt := PackOptions{FramePages: 4, Codec: CodecLZ4}
	for i := range generations {
		if i > 0 {
			raw, opt.Parent = bytes.Clone(raw), f.paths[i-1]
			fillNoise(r, raw[i%chunks*chunkRawBytes+PageBytes:][:PageBytes])
		}
		path := filepath.Join(dir, fmt.Sprintf("image%d.sabre", i))
		packTo(t, raw, path, opt)
		f.paths, f.raws = append(f.paths, path), append(f.raws, raw)
	}
	for i, want := range []string{"22", "12", "21", "12", "21"} {
		wantEqual(t, fmt.Sprintf("kinds of the chunks of image %d", i), chunkKinds(readFile(t, f.paths[i])), want)
	}
	f.wantContents(t)
	for _, i := range []int{0, 2} {
		packTo(t, f.raws[i], f.paths[i], PackOptions{FramePages: 1, Overwrite: true})
	}
	f.wantContents(t)
	wantStale(t, f.paths[3], true)
	_, err := RebaseFile(t.Context(), f.paths[3], "", PackOptions{})
	wantNoError(t, err)
	_, err = RebaseFile(t.Context(), f.paths[4], "", PackOptions{})
	wantNoError(t, err)
	wantContent(t, f.paths[4], f.raws[4])
	wantStale(t, f.paths[4], false)
	wantEqual(t, "kinds of the chunks of the last image", chunkKinds(readFile(t, f.paths[4])), "21")
}

// chunkKinds lists the kinds of the chunks of the page map.
func chunkKinds(image []byte) (kinds string) {
	for directory := sectionBytes(image, SectionPageDirectory); len(directory) > 0; directory = directory[dirEntryBytes:] {
		kinds += fmt.Sprint(binary.LittleEndian.Uint16(directory))
	}
	return kinds
}

// TestParentsAreShared: all children of an image share it while they are open, from
// any number of goroutines, and nothing is open in the end.
func TestParentsAreShared(t *testing.T) {
	r := seedtest.Rand(t)
	f := newFamily(t, r, 3, PackOptions{})
	for i := range 5 {
		raw := changedMemory(r, f.raws[2])
		path := filepath.Join(f.dir, fmt.Sprintf("child%d.sabre", i))
		packTo(t, raw, path, PackOptions{Parent: f.paths[2]})
		f.paths, f.raws = append(f.paths, path), append(f.raws, raw)
	}
	before := len(namesIn(t, "/proc/self/fd"))
	parents := NewParents(nil)
	cache := newCache(t, 1<<20)
	var group errgroup.Group
	for worker := range 4 {
		group.Go(func() error {
			for i := range 3 * len(f.paths) {
				at := (i*(worker+1) + worker) % len(f.paths)
				if err := readThrough(cache, parents, f.paths[at], f.raws[at]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	wantNoError(t, group.Wait())
	wantEqual(t, "images that are open", len(parents.open), 0)
	wantEqual(t, "descriptors", len(namesIn(t, "/proc/self/fd")), before)

	one, err := Open(f.paths[3], OpenOptions{Parents: parents})
	wantNoError(t, err)
	two, err := Open(f.paths[4], OpenOptions{Parents: parents})
	wantNoError(t, err)
	wantEqual(t, "the parent is the same", one.Parent() == two.Parent(), true)
	wantEqual(t, "images that are open", len(parents.open), 5)
	wantNoError(t, one.Close())
	wantContentOf(t, two, f.raws[4])
	wantNoError(t, two.Close())
	wantEqual(t, "images that are open", len(parents.open), 0)
}

func readThrough(cache *FrameCache, parents *Parents, path string, want []byte) error {
	img, err := Open(path, OpenOptions{Parents: parents})
	if err != nil {
		return err
	}
	got := make([]byte, len(want))
	_, err = cache.ReadAt(context.Background(), img, got, 0)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s has other bytes", path)
	}
	return errors.Join(err, img.Close())
}

// TestSiblingsShareFrames: what was decoded for one child is there for another.
func TestSiblingsShareFrames(t *testing.T) {
	r := seedtest.Fixed(13)
	f := newFamily(t, r, 1, PackOptions{})
	parents, cache := NewParents(nil), newCache(t, 8<<20)
	sources := make(map[Source]int)
	for i := range 2 {
		path := filepath.Join(f.dir, fmt.Sprintf("child%d.sabre", i))
		packTo(t, f.raws[0], path, PackOptions{Parent: f.paths[0]})
		img, err := Open(path, OpenOptions{Parents: parents})
		wantNoError(t, err)
		defer img.Close()
		clear(sources)
		for page := range pagesOf(img.RawBytes()) {
			dst := make([]byte, PageBytes)
			served, err := cache.ReadFirst(t.Context(), img, dst[:min(PageBytes, img.RawBytes()-page*PageBytes)], page*PageBytes)
			wantNoError(t, err)
			if served.Keep != nil {
				served.Keep()
			}
			sources[served.Source]++
		}
		wantEqual(t, fmt.Sprintf("child %d decodes", i), sources[FromDecode] > 0, i == 0)
	}
}

// TestHintsAreOpenedWith: who opens images may decide where parents may be.
func TestHintsAreOpenedWith(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(14), 3, PackOptions{})
	parents := NewParents(nil)
	var mu sync.Mutex
	asked := map[string]bool{}
	parents.OpenHintsWith(func(childPath, hint string) (*os.File, string, error) {
		mu.Lock()
		asked[filepath.Base(childPath)+" "+hint] = true
		mu.Unlock()
		file, err := os.Open(filepath.Join(f.dir, hint))
		return file, "inside:" + hint, err
	})
	img, err := Open(f.paths[2], OpenOptions{Parents: parents})
	wantNoError(t, err)
	wantContentOf(t, img, f.raws[2])
	wantEqual(t, "path of the root", img.Layers()[0].Path, "inside:image0.sabre")
	wantNoError(t, img.Close())
	delete(asked, "image2.sabre image0.sabre") // requested ahead, if the disk, or this machine, was slow
	wantEqual(t, "hints", fmt.Sprint(slices.Sorted(maps.Keys(asked))), "[image2.sabre image1.sabre inside:image1.sabre image0.sabre]")
	parents.OpenHintsWith(func(childPath, hint string) (*os.File, string, error) {
		return nil, "", fmt.Errorf("%s beside %s: %w: outside of the store", hint, childPath, ErrParent)
	})
	wantSays(t, openError(t, f.paths[2], OpenOptions{Parents: parents}), ErrParent, f.paths[2], "image1.sabre", "outside of the store")
}

// TestParentElsewhere: the remembered place is relative to the child, and what is
// not there is looked for below the directories that were given.
func TestParentElsewhere(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(4), 3, PackOptions{})
	moved := filepath.Join(t.TempDir(), "moved")
	wantNoError(t, os.Rename(f.dir, moved))
	for i := range f.paths {
		f.paths[i] = filepath.Join(moved, filepath.Base(f.paths[i]))
	}
	f.wantContents(t)

	other := filepath.Join(t.TempDir(), "deep", "below")
	wantNoError(t, os.MkdirAll(other, 0o700))
	wantNoError(t, os.Rename(f.paths[0], filepath.Join(other, "root.sabre")))
	wantSays(t, openError(t, f.paths[2], OpenOptions{}), ErrParent, f.paths[1], "image0.sabre")
	img, err := Open(f.paths[2], OpenOptions{Parents: NewParents([]string{filepath.Dir(filepath.Dir(other))})})
	wantNoError(t, err)
	defer img.Close()
	wantContentOf(t, img, f.raws[2])
	wantEqual(t, "it is stale", img.IsStale(), false)
	wantEqual(t, "root", img.Layers()[0].Path, filepath.Join(other, "root.sabre"))
	_, err = img.Verify(t.Context(), nil)
	wantNoError(t, err)
}

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"sabrefs/tests/seedtest"
)

// TestParentIsMissing: no image below the missing one can be read, and all that is
// tried with them leaves them as they are.
func TestParentIsMissing(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(1), 4, PackOptions{})
	wantNoError(t, os.Remove(f.paths[1]))
	wantContent(t, f.paths[0], f.raws[0])
	wantSays(t, openError(t, f.paths[2], OpenOptions{}), ErrParent, f.paths[2], "image1.sabre", "is not there")
	wantSays(t, openError(t, f.paths[3], OpenOptions{}), ErrParent, f.paths[2], "image1.sabre", "is not there")
	_, ref, err := ReadParentRef(f.paths[2])
	wantNoError(t, err)
	_, err = NewParents([]string{f.dir}).Locate(f.paths[2], ref)
	wantSays(t, err, ErrParent, f.paths[2], "image1.sabre")

	before := readFile(t, f.paths[2])
	for name, act := range map[string]func() error{
		"pack a child": func() error {
			src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), f.raws[3])
			_, err := PackFile(t.Context(), src, filepath.Join(f.dir, "new.sabre"), PackOptions{Parent: f.paths[2]})
			return err
		},
		"repack":  func() error { _, err := RepackFile(t.Context(), f.paths[2], PackOptions{}); return err },
		"flatten": func() error { _, err := FlattenFile(t.Context(), f.paths[2], PackOptions{}); return err },
		"rebase":  func() error { _, err := RebaseFile(t.Context(), f.paths[2], "", PackOptions{}); return err },
		"rebase to another content": func() error {
			_, err := RebaseFile(t.Context(), f.paths[2], f.paths[0], PackOptions{})
			return err
		},
		"unpack": func() error {
			_, err := UnpackFile(t.Context(), f.paths[2], filepath.Join(f.dir, "mem_file"), UnpackOptions{})
			return err
		},
	} {
		if err := act(); !errors.Is(err, ErrParent) {
			t.Errorf("%s: error is %v, want %v", name, err, ErrParent)
		}
		wantBytes(t, name+": image", readFile(t, f.paths[2]), before)
		wantNames(t, f.dir, "image0.sabre", "image2.sabre", "image3.sabre")
	}

	// an image of the same content may take its place
	packTo(t, f.raws[1], f.paths[1], PackOptions{Codec: CodecLZ4, FramePages: 1})
	f.wantContents(t)
}

// TestAlone: without its parent, an image shows what it says of itself.
func TestAlone(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(2), 2, PackOptions{WorkingSet: []PageRun{{3, 9}}})
	wantNoError(t, os.Remove(f.paths[0]))
	img, err := Open(f.paths[1], OpenOptions{Alone: true})
	wantNoError(t, err)
	defer img.Close()
	wantEqual(t, "size", img.RawBytes(), int64(len(f.raws[1])))
	runs, err := img.WorkingSet()
	wantNoError(t, err)
	wantEqual(t, "working set", fmt.Sprint(runs), "[{3 9}]")
	ref, err := img.ParentRef()
	wantNoError(t, err)
	wantEqual(t, "place of the parent", ref.Path, "image0.sabre")
	wantEqual(t, "parent is open", img.Parent() == nil, true)
	header := img.Header()
	for frame := range header.FrameCount {
		entry, err := img.Frame(uint32(img.FirstFrame() + frame))
		wantNoError(t, err)
		wantNoError(t, img.ReadFrame(t.Context(), entry, make([]byte, entry.RawBytes()+SlackBytes)[:entry.RawBytes()]))
	}
	wantClass(t, img.Pages(0, make([]PageRef, header.PageCount())), ErrParent)
	_, err = readAll(img)
	wantClass(t, err, ErrParent)
	_, err = img.Verify(t.Context(), nil)
	wantClass(t, err, ErrParent)
}

// TestParentIsAnother puts something else where the parent was.
func TestParentIsAnother(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(3), 3, PackOptions{})
	parent, child := f.paths[1], f.paths[2]
	whole := readFile(t, parent)
	for name, c := range map[string]struct {
		put   func() error
		class error
	}{
		"other content": {func() error {
			packTo(t, textMemory(60), parent, PackOptions{})
			return nil
		}, ErrParent},
		"its own parent": {func() error { return os.Link(f.paths[0], parent) }, ErrParent},
		"a page less": {func() error {
			packTo(t, f.raws[1][:len(f.raws[1])-PageBytes], parent, PackOptions{})
			return nil
		}, ErrParent},
		"a byte more": {func() error {
			packTo(t, append(bytes.Clone(f.raws[1]), 0), parent, PackOptions{})
			return nil
		}, ErrParent},
		"no image":         {func() error { return os.WriteFile(parent, bytes.Repeat([]byte("x"), 9000), 0o600) }, ErrNotImage},
		"nothing":          {func() error { return os.WriteFile(parent, nil, 0o600) }, ErrNotImage},
		"a directory":      {func() error { return os.Mkdir(parent, 0o700) }, ErrNotImage},
		"a pipe":           {func() error { return unix.Mkfifo(parent, 0o600) }, ErrNotImage},
		"a link to itself": {func() error { return os.Symlink(parent, parent) }, unix.ELOOP},
		"a link to nowhere": {func() error {
			return os.Symlink(filepath.Join(f.dir, "nowhere"), parent)
		}, ErrParent},
		"a newer version": {func() error {
			image := bytes.Clone(whole)
			image[hdrVersion]++
			resealHeader(image)
			return os.WriteFile(parent, image, 0o600)
		}, ErrVersion},
		"an unknown feature": {func() error {
			image := bytes.Clone(whole)
			image[hdrIncompat+7] = 1
			resealHeader(image)
			return os.WriteFile(parent, image, 0o600)
		}, ErrFeature},
	} {
		t.Run(name, func(t *testing.T) {
			wantNoError(t, os.RemoveAll(parent))
			wantNoError(t, c.put())
			wantSays(t, openError(t, child, OpenOptions{}), c.class, child, "image1.sabre")
		})
	}
	// the right one is elsewhere
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "any.sabre"), whole)
	wantNoError(t, os.Rename(f.paths[0], filepath.Join(dir, "image0.sabre")))
	img, err := Open(child, OpenOptions{Parents: NewParents([]string{dir})})
	wantNoError(t, err)
	wantContentOf(t, img, f.raws[2])
	wantNoError(t, img.Close())
}

// TestParentReplaced replaces a parent by images of the same content. Who has the
// child open notices nothing; who opens it then reads the same bytes.
func TestParentReplaced(t *testing.T) {
	r := seedtest.Rand(t)
	f := newFamily(t, r, 4, PackOptions{FramePages: 8})
	for i := range 3 {
		open := openImage(t, f.paths[3])
		before := readFile(t, f.paths[i])
		wantNoError(t, os.Remove(f.paths[i]))
		writeFile(t, f.paths[i], before)
		wantStale(t, f.paths[3], false) // a copy is as good

		for _, pages := range []int{1, 8, 64} {
			packTo(t, f.raws[i], f.paths[i], PackOptions{Codec: CodecLZ4, FramePages: pages, Overwrite: true})
			wantStale(t, f.paths[3], true)
			f.wantContents(t)
			wantContentOf(t, open, f.raws[3])
		}
		wantNoError(t, os.Remove(f.paths[i]))
		writeFile(t, f.paths[i], before)
		wantStale(t, f.paths[3], false)
	}
}

// TestParentCycles: images that are ancestors of themselves are possible, for memory
// may be again what it was. An image of that content elsewhere ends the cycle.
func TestParentCycles(t *testing.T) {
	const a, b = 'a', 'b' // contents
	for _, contents := range []string{"aa", "aaa", "aba", "aaba", "abaaba"} {
		t.Run(contents, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			raws := map[rune][]byte{a: textMemory(20), b: changedMemory(seedtest.Fixed(15), textMemory(20))}
			var path string
			for i, content := range contents {
				opt := PackOptions{Parent: path}
				path = filepath.Join(dir, fmt.Sprintf("image%d.sabre", i))
				packTo(t, raws[content], path, opt)
			}
			first := filepath.Join(dir, "image0.sabre")
			root := readFile(t, first)
			wantNoError(t, os.Rename(path, first))
			wantSays(t, openError(t, first, OpenOptions{}), ErrParent, "an ancestor of itself", "image0.sabre")
			wantClass(t, openError(t, first, OpenOptions{Parents: NewParents([]string{dir})}), ErrParent)
			src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raws[a])
			_, err := PackFile(t.Context(), src, filepath.Join(dir, "new.sabre"), PackOptions{Parent: first})
			wantClass(t, err, ErrParent)

			writeFile(t, filepath.Join(other, "root.sabre"), root)
			for _, dirs := range [][]string{{other}, {other, dir}, {dir, other}} {
				img, err := Open(first, OpenOptions{Parents: NewParents(dirs)})
				wantNoError(t, err)
				wantContentOf(t, img, raws[a])
				_, err = img.Verify(t.Context(), nil)
				wantNoError(t, err)
				wantNoError(t, img.Close())
			}
		})
	}
}

// TestDepthLimit reads the deepest chain there is, and packs and opens one image more.
func TestDepthLimit(t *testing.T) {
	dir := t.TempDir()
	raw := textMemory(10)
	path := deepChain(t, dir, raw)
	last := path(MaxDepth)
	changed := changedMemory(seedtest.Fixed(11), raw)
	result := packTo(t, changed, last, PackOptions{Parent: path(MaxDepth - 1)})
	wantEqual(t, "depth", result.Depth, MaxDepth)
	wantContent(t, last, changed)
	wantStale(t, last, false)
	src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
	_, err := PackFile(t.Context(), src, filepath.Join(dir, "new.sabre"), PackOptions{Parent: last})
	wantSays(t, err, ErrLimit, last, "256 ancestors")

	// a root that became a child makes the chain too long
	wantNoError(t, os.Rename(path(0), filepath.Join(dir, "root.sabre")))
	packTo(t, raw, path(0), PackOptions{Parent: filepath.Join(dir, "root.sabre")})
	wantSays(t, openError(t, last, OpenOptions{}), ErrLimit, "256 ancestors")
	parents := NewParents(nil)
	open, err := Open(path(MaxDepth-1), OpenOptions{Parents: parents})
	wantNoError(t, err)
	wantEqual(t, "it is stale", open.IsStale(), true)
	wantSays(t, openError(t, last, OpenOptions{Parents: parents}), ErrLimit, "256 ancestors")
	wantNoError(t, open.Close())
	_, err = FlattenFile(t.Context(), path(1), PackOptions{})
	wantNoError(t, err)
	wantContent(t, last, changed)
}

// deepChain makes images of all depths below the greatest, which all have the same
// content, faster than by packing them. It returns the path of each depth.
func deepChain(t *testing.T, dir string, raw []byte) func(depth int) string {
	t.Helper()
	path := func(depth int) string { return filepath.Join(dir, fmt.Sprintf("image%03d.sabre", depth)) }
	packTo(t, raw, path(0), PackOptions{})
	packTo(t, raw, path(1), PackOptions{Parent: path(0)})
	child := readFile(t, path(1))
	layers := bytes.Clone(sectionBytes(child, SectionLayers))
	for depth := 2; depth < MaxDepth; depth++ {
		layers = append(layers, child[hdrUUID:hdrUUID+16]...) // it has no frames
		layers = append(layers, make([]byte, layerEntryBytes-16)...)
		put32(hdrDepth, uint32(depth))(child)
		image := withSection(child, SectionParentPath, []byte(filepath.Base(path(depth-1))))
		writeFile(t, path(depth), withSection(image, SectionLayers, layers))
	}
	return path
}

// TestChildSmallerThanParent: the rest of the parent would have no place.
func TestChildSmallerThanParent(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(5), 2, PackOptions{})
	src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), f.raws[0][:len(f.raws[0])-1])
	image := filepath.Join(f.dir, "small.sabre")
	for _, opt := range []PackOptions{{Parent: f.paths[0]}, {Parent: f.paths[0], Diff: true}} {
		_, err := PackFile(t.Context(), src, image, opt)
		wantSays(t, err, ErrParent, f.paths[0], fmt.Sprint(len(f.raws[0])), fmt.Sprint(len(f.raws[0])-1))
		wantNames(t, f.dir, "image0.sabre", "image1.sabre")
	}
	// an image that claims it
	large := filepath.Join(f.dir, "large.sabre")
	packTo(t, grownMemory(seedtest.Fixed(6), f.raws[0], PageBytes), large, PackOptions{})
	header, err := ReadHeader(large)
	wantNoError(t, err)
	wantNoError(t, os.Rename(large, f.paths[0]))
	edit(t, f.paths[1], func(image []byte) { copy(image[hdrParentDigest:], header.Digest[:]) })
	wantSays(t, openError(t, f.paths[1], OpenOptions{}), ErrParent, f.paths[1], f.paths[0])
}

// TestParentTruncated cuts a parent before the child is opened and while it is.
func TestParentTruncated(t *testing.T) {
	r := seedtest.Rand(t)
	f := newFamily(t, r, 3, PackOptions{Codec: CodecLZ4, FramePages: 2})
	whole := readFile(t, f.paths[0])
	for range 40 {
		wantNoError(t, os.Remove(f.paths[0]))
		writeFile(t, f.paths[0], whole)
		img := openImage(t, f.paths[2])
		if r.IntN(2) == 0 {
			wantContentOf(t, img, f.raws[2])
		}
		n := r.Int64N(int64(len(whole)))
		wantNoError(t, os.Truncate(f.paths[0], n))
		what := fmt.Sprintf("parent cut to %d of %d bytes", n, len(whole))
		wantNoWrongBytes(t, what, img, f.raws[2])
		err := openError(t, f.paths[2], OpenOptions{})
		wantEqual(t, fmt.Sprintf("%s: open refuses it as damage (%v)", what, err), refused(err), true)
		wantSays(t, err, err, f.paths[1], f.paths[0])
	}
	writeFile(t, f.paths[0], whole[:headerBytes])
	wantSays(t, openError(t, f.paths[1], OpenOptions{}), ErrTruncated, f.paths[1], f.paths[0])
}

// TestParentDamaged flips bits of an ancestor, anywhere or in a part of it: the
// child reads right or not at all, and the error names the ancestor.
func TestParentDamaged(t *testing.T) {
	r := seedtest.Rand(t)
	f := newFamily(t, r, 3, PackOptions{FramePages: 4})
	for generation := range 2 {
		path := f.paths[generation]
		whole := readFile(t, path)
		for round := range 48 {
			image, what := damages[round%len(damages)](r, bytes.Clone(whole))
			writeFile(t, path, image)
			wantRefusedOrRight(t, fmt.Sprintf("image %d: %s", generation, what), f.paths[2], f.raws[2])
		}
		frames := func(image []byte) []byte { return image[headerBytes:][:decodeHeader(image).FramesBytes] }
		for name, part := range map[string]func(image []byte) []byte{
			"frames": frames, "page directory": partOf(SectionPageDirectory), "frame checksums": partOf(SectionFrameChecksums),
			"frame table": partOf(SectionFrameTable), "page map": partOf(SectionPageMap), "layers": partOf(SectionLayers),
		} {
			image := bytes.Clone(whole)
			for i, b := range part(image) {
				part(image)[i] = ^b
			}
			writeFile(t, path, image)
			_, err := verifyAt(t, f.paths[2])
			switch {
			case name == "layers" && generation == 0: // the root has none
				wantNoError(t, err)
			case name == "page map": // the child has its own
				if err != nil {
					wantSays(t, err, ErrCorrupt, path)
				}
			default:
				wantSays(t, err, ErrCorrupt, path)
			}
			wantRefusedOrRight(t, fmt.Sprintf("%s of image %d", name, generation), f.paths[2], f.raws[2])
		}
		writeFile(t, path, whole)
	}
	f.wantContents(t)
}

func partOf(kind SectionType) func(image []byte) []byte {
	return func(image []byte) []byte { return sectionBytes(image, kind) }
}

// verifyAt opens and verifies an image.
func verifyAt(t *testing.T, path string) (VerifyResult, error) {
	t.Helper()
	img, err := Open(path, OpenOptions{})
	if err != nil {
		return VerifyResult{}, err
	}
	defer img.Close()
	return img.Verify(t.Context(), nil)
}

// TestChildDamaged does to children what TestFlipAndCut and TestFlipAndReseal do to
// images without a parent; to stale ones, too.
func TestChildDamaged(t *testing.T) {
	r := seedtest.Rand(t)
	for _, stale := range []bool{false, true} {
		f := newFamily(t, r, 3, PackOptions{FramePages: 4, WorkingSet: []PageRun{{5, 20}}})
		if stale {
			packTo(t, f.raws[1], f.paths[1], PackOptions{Parent: f.paths[0], FramePages: 1, Overwrite: true})
			wantStale(t, f.paths[2], true)
		}
		whole := readFile(t, f.paths[2])
		for round := range 72 {
			image, what := damages[round%len(damages)](r, bytes.Clone(whole))
			writeFile(t, f.paths[2], image)
			wantRefusedOrRight(t, fmt.Sprintf("stale %t: %s", stale, what), f.paths[2], f.raws[2])
		}
		for range 60 {
			image := bytes.Clone(whole)
			what := changeClaim(r, image)
			reseal(image)
			writeFile(t, f.paths[2], image)
			wantVerifiedIsRight(t, fmt.Sprintf("stale %t: %s", stale, what), f.paths[2], f.raws[2])
		}
	}
}

// TestParentPathClaims: no place that an image claims is opened if no packer would
// have written it, and no error writes control characters to a terminal.
func TestParentPathClaims(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(7), 2, PackOptions{})
	whole := readFile(t, f.paths[1])
	wantNoError(t, unix.Mkfifo(filepath.Join(f.dir, "pipe"), 0o600))
	for name, c := range map[string]struct {
		hint  string
		class error
	}{
		"absolute":           {f.paths[0], ErrParent},
		"root":               {"/", ErrParent},
		"with a zero":        {"image0.sabre\x00", ErrParent},
		"too long":           {strings.Repeat("./", MaxPathBytes/2) + "image0.sabre", ErrCorrupt},
		"far too long":       {strings.Repeat("./", 1<<20) + "image0.sabre", ErrCorrupt},
		"too long a name":    {strings.Repeat("a", 300), unix.ENAMETOOLONG},
		"empty":              {"", ErrParent},
		"the directory":      {".", ErrNotImage},
		"outside":            {strings.Repeat("../", 40) + "etc/passwd", ErrNotImage},
		"behind a file":      {"image0.sabre/x", unix.ENOTDIR},
		"a pipe":             {"pipe", ErrNotImage},
		"not UTF-8":          {"\xff\xfe\x80", ErrParent},
		"control characters": {"\x1b[2J\r\n\x07\u202e", ErrParent},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, f.paths[1], withSection(whole, SectionParentPath, []byte(c.hint)))
			err := openError(t, f.paths[1], OpenOptions{})
			wantSays(t, err, c.class, f.paths[1])
			for _, char := range err.Error() {
				if char == unicode.ReplacementChar || !unicode.IsPrint(char) {
					t.Fatalf("the error is not printable: %q", err)
				}
			}
			img, err := Open(f.paths[1], OpenOptions{Parents: NewParents([]string{f.dir})})
			if errors.Is(c.class, ErrCorrupt) {
				wantClass(t, err, ErrCorrupt)
				return
			}
			wantNoError(t, err)
			wantContentOf(t, img, f.raws[1])
			wantNoError(t, img.Close())
		})
	}
	// what is only unusual works
	odd := filepath.Join(f.dir, "\xff odd\n.sabre")
	wantNoError(t, os.Rename(f.paths[0], odd))
	writeFile(t, f.paths[1], withSection(whole, SectionParentPath, []byte("./../"+filepath.Base(f.dir)+"/"+filepath.Base(odd))))
	wantContent(t, f.paths[1], f.raws[1])
	packTo(t, f.raws[1], f.paths[1], PackOptions{Parent: odd, Overwrite: true})
	wantContent(t, f.paths[1], f.raws[1])
}

// TestLayersClaims makes children whose checksums are right and whose claims about
// their ancestors are not.
func TestLayersClaims(t *testing.T) {
	f := newFamily(t, seedtest.Fixed(8), 3, PackOptions{FramePages: 2})
	whole := readFile(t, f.paths[2])
	layers := func(change func(b []byte)) func([]byte) {
		return func(image []byte) { change(sectionBytes(image, SectionLayers)) }
	}
	addFrames := func(layer int, n int) func(b []byte) {
		return func(b []byte) {
			frames := b[layer*layerEntryBytes+16:]
			binary.LittleEndian.PutUint64(frames, binary.LittleEndian.Uint64(frames)+uint64(n))
		}
	}
	inherited := uint64(decodeHeader(whole).InheritedFrames)
	for _, c := range []spoiled{
		{"a frame more", layers(addFrames(0, 1)), ErrCorrupt},
		{"a frame less", layers(addFrames(1, -1)), ErrCorrupt},
		{"a negative number of frames", layers(func(b []byte) { addFrames(0, -1<<40)(b); addFrames(1, 1<<40)(b) }), ErrCorrupt},
		{"no layers", renameSection(SectionLayers, 99), ErrCorrupt},
		{"a layer short", changeSection(SectionLayers, sectionLenField, layerEntryBytes), ErrCorrupt},
		{"half a layer", changeSection(SectionLayers, sectionLenField, 2*layerEntryBytes-1), ErrCorrupt},
		{"no ancestors", put32(hdrDepth, 0), ErrCorrupt},
		{"one ancestor", put32(hdrDepth, 1), ErrCorrupt},
		{"three ancestors", put32(hdrDepth, 3), ErrCorrupt},
		{"too many ancestors", put32(hdrDepth, MaxDepth+1), ErrLimit},
		{"2^32 ancestors", put32(hdrDepth, 1<<32-1), ErrLimit},
		{"no inherited frames", put64(hdrInherited, 0), ErrCorrupt},
		{"another inherited frame", put64(hdrInherited, inherited+1), ErrCorrupt},
		{"2^63 inherited frames", put64(hdrInherited, 1<<63), ErrCorrupt},
		{"2^30 inherited frames", put64(hdrInherited, 1<<30), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeFile(t, f.paths[2], whole)
			edit(t, f.paths[2], c.spoil)
			wantSays(t, openError(t, f.paths[2], OpenOptions{}), c.class, f.paths[2])
		})
	}
	for name, spoil := range map[string]func([]byte){
		"another root":             layers(func(b []byte) { b[0] ^= 1 }),
		"another parent":           layers(func(b []byte) { b[layerEntryBytes+15] ^= 0x80 }),
		"frames of another layer":  layers(func(b []byte) { addFrames(0, 1)(b); addFrames(1, -1)(b) }),
		"all frames of the parent": layers(func(b []byte) { clear(b[16:24]); binary.LittleEndian.PutUint64(b[layerEntryBytes+16:], inherited) }),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, f.paths[2], whole)
			edit(t, f.paths[2], spoil)
			wantStale(t, f.paths[2], true)
			wantContent(t, f.paths[2], f.raws[2])
		})
	}
}

// movedFamily is a child with pages that moved, over a parent that was replaced.
func movedFamily(t *testing.T) family {
	t.Helper()
	f := family{dir: t.TempDir(), paths: make([]string, 2)}
	raw := textMemory(50)
	moved := bytes.Clone(raw)
	for page := range 10 {
		copy(moved[2*page*PageBytes:], raw[(40-page)*PageBytes:][:PageBytes])
	}
	f.raws = [][]byte{raw, moved}
	f.paths[0], f.paths[1] = filepath.Join(f.dir, "parent.sabre"), filepath.Join(f.dir, "child.sabre")
	packTo(t, raw, f.paths[0], PackOptions{})
	result := packTo(t, moved, f.paths[1], PackOptions{Parent: f.paths[0]})
	wantEqual(t, "stored pages", result.StoredPages, 0)
	return f
}

// TestMovedPagesClaims: a stale image looks moved pages up, and refuses a list that
// is out of order. A list that is only wrong is found by Verify.
func TestMovedPagesClaims(t *testing.T) {
	f := movedFamily(t)
	whole := readFile(t, f.paths[1])
	moved := slices.Clone(sectionBytes(whole, SectionMovedPages))
	wantEqual(t, "moved pages", len(moved), 10*movedPageBytes)
	entry := func(i int, page, parentPage uint32) []byte {
		b := slices.Clone(moved)
		binary.LittleEndian.PutUint32(b[i*movedPageBytes:], page)
		binary.LittleEndian.PutUint32(b[i*movedPageBytes+4:], parentPage)
		return b
	}
	claims := map[string][]byte{
		"out of order":            entry(5, 0, 7),
		"a page twice":            entry(5, 8, 7),
		"a page behind the end":   entry(9, 50, 7),
		"page 2^32-1":             entry(9, 1<<32-1, 7),
		"behind the parent's end": entry(5, 10, 50),
		"parent page 2^32-1":      entry(5, 10, 1<<32-1),
		"half an entry":           moved[:len(moved)-4],
		"too many":                append(bytes.Repeat([]byte{0}, 51*movedPageBytes), moved...),
	}
	lies := map[string][]byte{"another page": entry(5, 10, 7), "one is missing": moved[movedPageBytes:], "none": {}}
	for _, stale := range []bool{false, true} {
		if stale {
			packTo(t, f.raws[0], f.paths[0], PackOptions{FramePages: 1, Overwrite: true})
		}
		wantContent(t, f.paths[1], f.raws[1])
		for name, claim := range claims {
			writeFile(t, f.paths[1], withSection(whole, SectionMovedPages, claim))
			_, err := verifyAt(t, f.paths[1])
			if stale || err != nil {
				wantSays(t, err, ErrCorrupt, f.paths[1])
			}
			wantVerifiedIsRight(t, name, f.paths[1], f.raws[1])
		}
		for name, lie := range lies {
			writeFile(t, f.paths[1], withSection(whole, SectionMovedPages, lie))
			_, err := verifyAt(t, f.paths[1])
			if stale {
				wantClass(t, err, ErrCorrupt)
			}
			wantVerifiedIsRight(t, name, f.paths[1], f.raws[1])
		}
		for i := range moved { // damage, with the checksum as it was
			image := bytes.Clone(whole)
			sectionBytes(image, SectionMovedPages)[i] ^= 1 << (i % 8)
			writeFile(t, f.paths[1], image)
			wantRefusedOrRight(t, fmt.Sprintf("byte %d of the moved pages", i), f.paths[1], f.raws[1])
		}
		writeFile(t, f.paths[1], whole)
	}
}

// TestPageDigestsDamaged: packing a child against a parent whose page digests are
// damaged is refused, or does without them.
func TestPageDigestsDamaged(t *testing.T) {
	r := seedtest.Rand(t)
	f := newFamily(t, r, 2, PackOptions{FramePages: 2})
	raw := changedMemory(r, f.raws[1])
	child := filepath.Join(f.dir, "child.sabre")
	src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
	pack := func() (PackResult, error) {
		return PackFile(t.Context(), src, child, PackOptions{Parent: f.paths[1], Overwrite: true})
	}
	want, err := pack()
	wantNoError(t, err)
	for _, path := range f.paths {
		whole := readFile(t, path)
		for range 8 {
			image := bytes.Clone(whole)
			digests := sectionBytes(image, SectionPageDigests)
			digests[r.IntN(len(digests))] ^= byte(1 + r.IntN(255))
			writeFile(t, path, image)
			if _, err := pack(); err != nil {
				wantSays(t, err, ErrCorrupt, path)
			}
			wantContent(t, child, raw)
		}
		image := bytes.Clone(whole)
		digests := sectionBytes(image, SectionPageDigests)
		copy(digests, append(digests[pageDigestBytes:len(digests):len(digests)], digests[:pageDigestBytes]...))
		writeFile(t, path, image) // each page has the digest of another
		if _, err := pack(); err != nil {
			wantSays(t, err, ErrCorrupt, path)
		}
		wantContent(t, child, raw)
		lenBytes := uint64(len(sectionBytes(whole, SectionPageDigests)))
		for _, claim := range []uint64{lenBytes - 1, lenBytes + 1} {
			writeFile(t, path, whole)
			edit(t, path, changeSection(SectionPageDigests, sectionLenField, claim))
			_, err := pack()
			wantSays(t, err, ErrCorrupt, path)
			wantContent(t, child, raw)
		}
		for range 5 { // right checksums, and wrong digests
			writeFile(t, path, whole)
			edit(t, path, func(image []byte) { swapDigests(r, sectionBytes(image, SectionPageDigests)) })
			if _, err := pack(); err == nil {
				wantVerifiedIsRight(t, "swapped digests", child, raw)
			}
		}
		writeFile(t, path, whole)
		edit(t, path, renameSection(SectionPageDigests, 99)) // written by an older packer
		got, err := pack()
		wantNoError(t, err)
		wantEqual(t, "pages of the parent, without page digests", got.ParentPages, want.ParentPages)
		wantContent(t, child, raw)
		writeFile(t, path, whole)
	}
}

func swapDigests(r *rand.Rand, digests []byte) {
	n := len(digests) / pageDigestBytes
	a, b := digests[r.IntN(n)*pageDigestBytes:][:pageDigestBytes], digests[r.IntN(n)*pageDigestBytes:][:pageDigestBytes]
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

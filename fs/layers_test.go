package fs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// layerBytes is the memory of most chains: small, for they are packed again and again.
const layerBytes = 2<<20 + 777

func withParentDirs(dirs ...string) mountOption {
	return func(a *mountArg, _ *exec.Cmd) { a.ParentDirs = dirs }
}

// laterMemory is memory some time later: of sixteen pages one is new, or moved, or
// zero now. Equal numbers give equal bytes.
func laterMemory(raw []byte, number uint64) []byte {
	random := rand.New(rand.NewPCG(sampleSeed[0]+number, sampleSeed[1]+1))
	later := slices.Clone(raw)
	for off := 0; off < len(later); off += store.PageBytes {
		page := later[off:min(off+store.PageBytes, len(later))]
		switch random.IntN(48) {
		case 0:
			clear(page)
		case 1:
			copy(page, raw[random.IntN(len(raw)/store.PageBytes)*store.PageBytes:])
		case 2:
			binary.LittleEndian.PutUint64(page[random.IntN(len(page)/8)*8:], random.Uint64()|1)
		}
	}
	return later
}

// imageOf is the path of the image of a memory file of the store.
func imageOf(dir, name string) string { return filepath.Join(dir, name+imageSuffix) }

// packChild packs memory into dir/name.sabre, against the image of parent, both given
// by the names of their memory files.
func packChild(t *testing.T, dir, name string, raw []byte, parent string) {
	t.Helper()
	mustNot(t, os.MkdirAll(filepath.Dir(imageOf(dir, name)), 0o755))
	options := store.PackOptions{Codec: store.CodecLZ4, Level: store.LevelFast}
	if parent != "" {
		options.Parent = imageOf(dir, parent)
	}
	packSample(t, dir, name, raw, options)
}

// chainStore is a store with a chain of images: 0/mem is the root. It returns the
// memory of each.
func chainStore(t *testing.T, depth int) (dir string, raws [][]byte) {
	t.Helper()
	dir, raws = t.TempDir(), [][]byte{sampleMemory(1, layerBytes)}
	packChild(t, dir, "0/mem", raws[0], "")
	for layer := 1; layer <= depth; layer++ {
		raws = append(raws, laterMemory(raws[layer-1], uint64(layer)))
		packChild(t, dir, fmt.Sprintf("%d/mem", layer), raws[layer], fmt.Sprintf("%d/mem", layer-1))
	}
	return dir, raws
}

// TestChainsReadAsIfFlat: by whole files, at random and through mappings.
func TestChainsReadAsIfFlat(t *testing.T) {
	dir, raws := chainStore(t, 20)
	m := mountStore(t, dir)
	for _, depth := range []int{1, 3, 20} {
		name := fmt.Sprintf("%d/mem", depth)
		want := filepath.Join(t.TempDir(), "want")
		writeFile(t, want, raws[depth])
		runTouch(t, touchArg{Path: m.file(name), Want: want, Seed: uint64(depth), Private: true, Count: 500})
		readRandomly(t, m.file(name), raws[depth], uint64(depth))
		wantContent(t, m.file(name), raws[depth])
		wantHoles(t, m.file(name), raws[depth])
	}
	if s := m.stats(); s.FailedReads != 0 {
		t.Errorf("%d reads failed", s.FailedReads)
	}
}

// TestChildOfManyChunks: a child of which most chunks are those of the parent, and
// which is larger.
func TestChildOfManyChunks(t *testing.T) {
	dir, raw := sampleStore(t)
	grown := append(slices.Clone(raw[:len(raw)/store.PageBytes*store.PageBytes]), sampleMemory(2, 1<<20)...)
	binary.LittleEndian.PutUint64(grown[5<<20:], 1)
	packChild(t, dir, "later/mem_file", grown, "snap/mem_file")
	m := mountStore(t, dir)
	wantContent(t, m.file("later/mem_file"), grown)
	wantContent(t, m.file("snap/mem_file"), raw)
}

// TestListingOpensNoParents: a child whose parent is gone is listed, with its size.
func TestListingOpensNoParents(t *testing.T) {
	dir, raws := chainStore(t, 1)
	mustNot(t, os.RemoveAll(filepath.Join(dir, "0")))
	m := mountStore(t, dir)
	if names := strings.Join(listNames(t, m.file("1")), " "); names != "mem" {
		t.Errorf("names: %s", names)
	}
	if size := statFile(t, m.file("1/mem")).Size; size != int64(len(raws[1])) {
		t.Errorf("size %d, want %d", size, len(raws[1]))
	}
	if log := m.logged(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestSiblingsShareFrames: guests that run at once, of several children of one parent,
// decode each frame of the parent once.
func TestSiblingsShareFrames(t *testing.T) {
	dir, raws := chainStore(t, 0)
	const children = 4
	var faults [children][]uint32 // a page of each frame of the parent
	frames := make(map[uint32]bool)
	for child := range children {
		name := fmt.Sprintf("child%d", child)
		raws = append(raws, laterMemory(raws[0], uint64(10+child)))
		packChild(t, dir, name, raws[child+1], "0/mem")
		faults[child] = inheritedPages(t, imageOf(dir, name), frames)
	}
	m := mountStore(t, dir)
	for child := range children { // with the last user of the parent its frames are forgotten
		openHeld(t, m.file(fmt.Sprintf("child%d", child)))
	}
	var guests sync.WaitGroup
	for child, pages := range faults {
		guests.Go(func() {
			if err := touchPages(t, m.file(fmt.Sprintf("child%d", child)), raws[child+1], unix.MADV_RANDOM, pages).Run(); err != nil {
				t.Errorf("child %d: %v", child, err)
			}
		})
	}
	guests.Wait()
	want := int64(len(frames))
	if got := mountReport(t, m).DecodedFrames; got < want || got > want+want/20 {
		t.Errorf("%d frames were decoded, want the %d of the parent", got, want) // a cache may refuse one now and then
	}
}

// inheritedPages returns a page of each frame that an image inherits, and adds the
// frames to the set.
func inheritedPages(t *testing.T, path string, frames map[uint32]bool) (pages []uint32) {
	t.Helper()
	img, err := store.Open(path, store.OpenOptions{})
	mustNot(t, err)
	defer img.Close()
	header := img.Header()
	refs := make([]store.PageRef, header.PageCount())
	mustNot(t, img.Pages(0, refs))
	known := make(map[uint32]bool)
	for page, ref := range refs {
		if ref.Kind == store.PageInFrame && int64(ref.Frame) < img.FirstFrame() && !known[ref.Frame] {
			pages = append(pages, uint32(page))
			known[ref.Frame], frames[ref.Frame] = true, true
		}
	}
	return pages
}

// TestBadParents: each has its own line in the log, which names child and parent; the
// memory file cannot be opened meanwhile, all others can; and it can be opened when
// the parent is back.
func TestBadParents(t *testing.T) {
	other := t.TempDir()
	packSample(t, other, "other", sampleMemory(3, layerBytes), defaultPack)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir, parent string)
		says  string
	}{
		"missing": {func(t *testing.T, _, parent string) { t.Helper(); mustNot(t, os.Remove(parent)) }, "not there"},
		"another one": {func(t *testing.T, _, parent string) {
			t.Helper()
			mustNot(t, os.Rename(imageOf(other, "other"), parent))
		}, "other content"},
		"no image":  {func(t *testing.T, _, parent string) { t.Helper(); writeFile(t, parent, []byte("something else")) }, "not a sabrefs image"},
		"truncated": {func(t *testing.T, _, parent string) { t.Helper(); mustNot(t, os.Truncate(parent, 20000)) }, "truncated"},
		"damaged":   {func(t *testing.T, _, parent string) { t.Helper(); overwrite(t, parent, 100, []byte{0xff, 0xff}) }, "corrupt"},
		"a cycle": {func(t *testing.T, dir, parent string) {
			t.Helper() // an image of the parent's content that names the parent's place as that of its parent
			mustNot(t, os.Link(imageOf(dir, "same"), parent+".new"))
			mustNot(t, os.Rename(parent+".new", parent))
		}, "ancestor of itself"},
		"a directory": {func(t *testing.T, _, parent string) {
			t.Helper()
			mustNot(t, errors.Join(os.Remove(parent), os.Mkdir(parent, 0o755)))
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, raw := t.TempDir(), sampleMemory(1, layerBytes)
			later := laterMemory(raw, 1)
			packChild(t, dir, "base", raw, "")
			packChild(t, dir, "same", raw, "base")
			packChild(t, dir, "child", later, "base")
			packChild(t, dir, "flat", raw[:100000], "")
			parent := imageOf(dir, "base")
			kept := filepath.Join(t.TempDir(), "kept")
			mustNot(t, os.Link(parent, kept))
			if name == "truncated" || name == "damaged" || name == "no image" { // these write to the file
				copyFile(t, parent, kept)
			}
			c.spoil(t, dir, parent)
			m := mountStore(t, dir)
			for range 3 {
				_, err := os.ReadFile(m.file("child"))
				wantErrno(t, "open", err, syscall.EIO)
			}
			wantContent(t, m.file("flat"), raw[:100000])
			log := m.logged()
			if n := strings.Count(log, "level=ERROR"); n != 1 || !strings.Contains(log, imageOf(dir, "child")) || !strings.Contains(log, "base"+imageSuffix) || !strings.Contains(log, c.says) {
				t.Errorf("%d lines, want one with child, parent and %q:\n%s", n, c.says, log)
			}
			mustNot(t, os.RemoveAll(parent))
			mustNot(t, os.Rename(kept, parent))
			wantContent(t, m.file("child"), later)
			wantContent(t, m.file("base"), raw)
		})
	}
}

// copyFile replaces target by a copy of a file.
func copyFile(t *testing.T, from, target string) {
	t.Helper()
	b, err := os.ReadFile(from)
	mustNot(t, err)
	mustNot(t, os.RemoveAll(target))
	writeFile(t, target, b)
}

// TestParentsOutsideTheStore are not opened because an image says so: neither upwards
// nor through a symbolic link. They are found by their content in a directory that
// the operator names, with parents of their own.
func TestParentsOutsideTheStore(t *testing.T) {
	for name, move := range map[string]func(t *testing.T, top string){
		"outside the store": func(t *testing.T, _ string) { t.Helper() }, // packed so: see below
		"symbolic link": func(t *testing.T, top string) {
			t.Helper()
			mustNot(t, os.Rename(filepath.Join(top, "store", "bases"), filepath.Join(top, "elsewhere")))
			mustNot(t, os.Symlink(filepath.Join(top, "elsewhere"), filepath.Join(top, "store", "bases")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			top, raw := t.TempDir(), sampleMemory(1, layerBytes)
			bases := "elsewhere"
			if name == "symbolic link" {
				bases = "store/bases"
			}
			middle, later := laterMemory(raw, 1), laterMemory(raw, 2)
			packChild(t, top, bases+"/root/mem", raw, "")
			packChild(t, top, bases+"/middle/mem", middle, bases+"/root/mem")
			packChild(t, top, "store/child", later, bases+"/middle/mem")
			move(t, top)
			storeDir := filepath.Join(top, "store")
			m := mountStore(t, storeDir)
			_, err := os.ReadFile(m.file("child"))
			wantErrno(t, "open", err, syscall.EIO)
			log := m.logged()
			if n := strings.Count(log, "level=ERROR"); n != 1 || !strings.Contains(log, name) || !strings.Contains(log, "--parent-dir") || !strings.Contains(log, "middle/mem"+imageSuffix) {
				t.Errorf("the log says:\n%s", log)
			}
			m = mountStore(t, storeDir, withParentDirs(t.TempDir(), filepath.Join(top, "elsewhere")))
			wantContent(t, m.file("child"), later)
		})
	}
}

// TestParentPackedAnew has another layout and the same content: it is the same parent,
// for who has the child open, and for who opens it later.
func TestParentPackedAnew(t *testing.T) {
	dir, raws := chainStore(t, 2)
	m := mountStore(t, dir)
	f := openHeld(t, m.file("2/mem"))
	options := store.PackOptions{Codec: store.CodecZstd, FramePages: 16, WorkingSet: []store.PageRun{{FirstPage: 300, PageCount: 50}}}
	for _, layer := range []string{"0/mem", "1/mem"} {
		_, err := store.RepackFile(context.Background(), imageOf(dir, layer), options)
		mustNot(t, err)
	}
	got := make([]byte, len(raws[2]))
	_, err := f.ReadAt(got, 0)
	mustNot(t, err)
	wantEqual(t, "the file that was open", got, raws[2])
	mustNot(t, errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()))
	eventually(t, "the file is closed", func() bool { return fileReport(t, m.file("2/mem")).Users == 0 })
	before := m.stats().ReadBytes
	wantContent(t, m.file("2/mem"), raws[2])
	wantContent(t, m.file("1/mem"), raws[1])
	if s := m.stats(); s.ReadBytes == before || s.FailedReads != 0 {
		t.Errorf("%d bytes read of the layers that are new, %d reads failed", s.ReadBytes-before, s.FailedReads)
	}
}

// TestParentTruncatedWhileMounted: what was in the lost part is an error, for each
// child of it. All other pages and files have their bytes.
func TestParentTruncatedWhileMounted(t *testing.T) {
	dir, raw := t.TempDir(), sampleMemory(1, layerBytes)
	first, second := laterMemory(raw, 1), laterMemory(raw, 2)
	packChild(t, dir, "base", raw, "")
	packChild(t, dir, "first", first, "base")
	packChild(t, dir, "second", second, "base")
	packChild(t, dir, "other", sampleMemory(5, 100000), "")
	packChild(t, dir, "last", laterMemory(sampleMemory(5, 100000), 9), "other")
	m := mountStore(t, dir)
	openHeld(t, m.file("first"))
	openHeld(t, m.file("second"))
	info, err := os.Stat(imageOf(dir, "base"))
	mustNot(t, err)
	mustNot(t, os.Truncate(imageOf(dir, "base"), info.Size()/2))
	for name, want := range map[string][]byte{"first": first, "second": second} {
		own := ownPages(t, imageOf(dir, name))
		lost := readPages(t, m.file(name), want)
		if len(lost) == 0 {
			t.Errorf("%s: no page is lost", name)
		}
		for _, page := range lost {
			if own[page] {
				t.Errorf("%s: page %d is the child's own and cannot be read", name, page)
			}
		}
	}
	wantContent(t, m.file("last"), laterMemory(sampleMemory(5, 100000), 9))
	if log := m.logged(); !strings.Contains(log, imageOf(dir, "base")) || !strings.Contains(log, "truncated") {
		t.Errorf("the log does not name the parent:\n%s", log)
	}
}

// ownPages are the pages that are zero or in frames of the image itself. The parent
// may be damaged.
func ownPages(t *testing.T, path string) map[uint32]bool {
	t.Helper()
	img, err := store.Open(path, store.OpenOptions{Alone: true})
	mustNot(t, err)
	defer img.Close()
	own := make(map[uint32]bool)
	header := img.Header()
	for page := range header.PageCount() {
		var ref [1]store.PageRef
		if err := img.Pages(page, ref[:]); err == nil {
			own[uint32(page)] = true
		}
	}
	return own
}

// readPages reads a file page by page. It fails if bytes are wrong, and returns the
// pages that could not be read.
func readPages(t *testing.T, path string, want []byte) (lost []uint32) {
	t.Helper()
	f := openHeld(t, path)
	mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	b := make([]byte, store.PageBytes)
	for off := 0; off < len(want); off += store.PageBytes {
		n, err := f.ReadAt(b, int64(off))
		if expected := want[off:min(off+store.PageBytes, len(want))]; n == len(expected) {
			wantEqual(t, fmt.Sprintf("page %d", off/store.PageBytes), b[:n], expected)
			continue
		}
		wantErrno(t, fmt.Sprintf("page %d", off/store.PageBytes), err, syscall.EIO)
		lost = append(lost, uint32(off/store.PageBytes))
	}
	return lost
}

// TestPrefetchOfAChild pushes what the child has and what its ancestors have, also when
// one of these was packed anew.
func TestPrefetchOfAChild(t *testing.T) {
	dir, raws := chainStore(t, 2)
	pages := somePages(t, raws[2], 300)
	traces := writeTrace(t, imageOf(dir, "2/mem"), "2/mem", pages)
	for _, stale := range []bool{false, true} {
		if stale {
			_, err := store.RepackFile(context.Background(), imageOf(dir, "0/mem"), store.PackOptions{Codec: store.CodecLZ4, FramePages: 32})
			mustNot(t, err)
		}
		m := mountStore(t, dir, withPrefetch(PrefetchWS, traces))
		path := m.file("2/mem")
		openHeld(t, path)
		if r := waitPrefetched(t, path); r.State != "done" || r.Set != "trace" || r.Planned != int64(len(pages)) || r.Used != r.Planned || r.BadFrames != 0 {
			t.Errorf("stale %v: prefetch: %+v", stale, r)
		}
		wantContent(t, path, raws[2])
	}
}

// TestEagerPrefetchWithoutAParent goes on with the other files.
func TestEagerPrefetchWithoutAParent(t *testing.T) {
	dir, raws := chainStore(t, 2)
	packChild(t, dir, "flat", raws[0], "")
	traces := writeTrace(t, imageOf(dir, "flat"), "flat", somePages(t, raws[0], 200))
	mustNot(t, os.Remove(imageOf(dir, "1/mem")))
	m := mountStore(t, dir, withPrefetch(PrefetchEager, traces))
	if r := waitPrefetched(t, m.file("flat")); r.State != "done" || r.Used != 200 {
		t.Errorf("prefetch: %+v", r)
	}
	eventually(t, "the log names the parent", func() bool { return strings.Contains(m.logged(), "1/mem"+imageSuffix) })
}

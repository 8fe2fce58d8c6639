package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// fuzzedChild is a child to be changed, over parents that stay as they are.
type fuzzedChild struct {
	image, raw []byte
	parents    *Parents
}

// fuzzedChildren are small: a child and a grandchild with a moved page, and the same
// over ancestors that were replaced.
func fuzzedChildren(f *testing.F) []fuzzedChild {
	f.Helper()
	children := make([]fuzzedChild, 0, 4)
	for _, generations := range []int{2, 3} {
		for _, stale := range []bool{false, true} {
			tree := smallFamily(f, generations)
			path := tree.paths[generations-1]
			children = append(children, fuzzedChild{readFile(f, path), tree.raws[generations-1], parentsIn(tree.dir)})
			for i := 0; stale && i < generations-1; i++ {
				_, err := RepackFile(f.Context(), tree.paths[i], PackOptions{Codec: CodecLZ4, FramePages: 1})
				wantNoError(f, err)
			}
		}
	}
	return children
}

// smallFamily is the same in every process.
func smallFamily(f *testing.F, generations int) family {
	f.Helper()
	tree := family{dir: f.TempDir()}
	opt := PackOptions{FramePages: 2, Codec: CodecLZ4, UUID: fixedUUID, CreatedAt: fixedTime}
	raw := textMemory(6)
	for i := range generations {
		path := filepath.Join(tree.dir, fmt.Sprintf("image%d.sabre", i))
		opt.UUID[0] = byte(i)
		raw = bytes.Clone(raw)
		copy(raw[4*PageBytes:], raw[(1+i)*PageBytes:][:PageBytes])
		fillNoise(seedtest.Fixed(uint64(i)), raw[i*PageBytes:][:PageBytes])
		packTo(f, raw, path, opt)
		tree.paths, tree.raws, opt.Parent = append(tree.paths, path), append(tree.raws, raw), path
	}
	return tree
}

// parentsIn finds the parents of an image that is in no directory.
func parentsIn(dir string) *Parents {
	parents := NewParents(nil)
	parents.OpenHintsWith(func(_, hint string) (*os.File, string, error) {
		path := filepath.Join(dir, filepath.Base(hint)) // a hint that was changed leads nowhere else
		file, err := openRegular(path, ErrNotImage)
		return file, path, err
	})
	return parents
}

// FuzzPatchedChild changes bytes of a child beside its parent, and fits the
// checksums if fix is set. Without that, what is read is right or refused; with it,
// what Verify accepts has the digest that it claims.
func FuzzPatchedChild(f *testing.F) {
	children := fuzzedChildren(f)
	for i, child := range children {
		header := decodeHeader(child.image)
		sections, err := parseSections(child.image[hdrSectionTable:hdrCRC], binary.LittleEndian.Uint32(child.image[hdrSections:]), header)
		wantNoError(f, err)
		for _, s := range sections {
			f.Add(uint8(i), uint32(s.packedOff), uint32(1), uint32(s.packedOff+4), uint32(0), true)
			f.Add(uint8(i), uint32(s.packedOff), uint32(1<<30|3), uint32(headerBytes), uint32(7), false)
		}
		f.Add(uint8(i), uint32(hdrDepth), uint32(i), uint32(hdrInherited), uint32(2), true)
	}
	f.Fuzz(func(t *testing.T, base uint8, off1, value1, off2, value2 uint32, fix bool) {
		child := children[int(base)%len(children)]
		image := bytes.Clone(child.image)
		for off, value := range map[uint32]uint32{off1: value1, off2: value2} {
			binary.LittleEndian.PutUint32(image[off%uint32(len(image)-3):], value)
		}
		if fix {
			reseal(image)
		}
		checkChildOpens(t, image, child, fix)
	})
}

// FuzzChild opens arbitrary bytes beside a parent.
func FuzzChild(f *testing.F) {
	children := fuzzedChildren(f)
	for i, child := range children {
		f.Add(uint8(i), shorten(child.image), true)
	}
	f.Fuzz(func(t *testing.T, base uint8, short []byte, fix bool) {
		image := lengthen(short)
		if fix {
			reseal(image)
		}
		checkChildOpens(t, image, children[int(base)%len(children)], true)
	})
}

// checkChildOpens uses a child of which anything may be wrong. If it is not hostile,
// its checksums speak for its tables.
func checkChildOpens(t *testing.T, image []byte, child fuzzedChild, hostile bool) {
	t.Helper()
	img, err := Open(memoryPath(t, image), OpenOptions{Parents: child.parents})
	if err != nil {
		wantEqual(t, fmt.Sprintf("open refuses it as damage (%v)", err), refused(err), true)
		return
	}
	defer img.Close()
	if img.RawBytes() > 64<<20 {
		return // sparse, but too slow for fuzzing
	}
	raw, err := readAll(img)
	if err != nil {
		wantEqual(t, fmt.Sprintf("reading refuses it as damage (%v)", err), refused(err), true)
	} else if !hostile {
		wantBytes(t, "content of a child with damage", raw, child.raw)
	}
	result, verifyErr := img.Verify(t.Context(), nil)
	if verifyErr != nil {
		wantEqual(t, fmt.Sprintf("Verify refuses it as damage (%v)", verifyErr), refused(verifyErr), true)
		return
	}
	wantNoError(t, err)
	wantEqual(t, "digest", result.Digest, naiveDigest(raw).String())
}

package store

import (
	"path/filepath"
	"testing"
)

func TestPageRefRoundTrip(t *testing.T) {
	for slotBits := range uint8(7) {
		frames := int64(1) << (entryValueBits - slotBits)
		for _, ref := range []PageRef{
			{Kind: PageZero},
			{Kind: PageInFrame},
			{Kind: PageInFrame, Frame: uint32(frames - 1), Slot: 1<<slotBits - 1},
			{Kind: PageInFrame, Frame: 12345, Slot: 1<<slotBits - 1},
		} {
			got, err := decodePageRef(ref.encode(slotBits), slotBits, frames)
			wantNoError(t, err)
			wantEqual(t, "reference", got, ref)
		}
	}
}

func TestPageRefRefusals(t *testing.T) {
	for name, entry := range map[string]uint32{
		"zero page with a value": zeroPageEntry | 1,
		"lost":                   0,
		"lost, with a value":     5,
		"the unused kind":        2<<entryValueBits | 1,
		"frame behind the last":  uint32(PageInFrame)<<entryValueBits | 3<<2,
	} {
		if _, err := decodePageRef(entry, 2, 3); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
	_, err := decodePageRef(uint32(PageInFrame)<<entryValueBits|2<<2|3, 2, 3)
	wantNoError(t, err)
}

func TestDirectoryEntryRoundTrip(t *testing.T) {
	for _, d := range []dirEntry{{}, {kind: chunkInherited, layer: 2}, {kind: chunkStored, crc32: 0xdeadbeef, stored: 6}} {
		var b [dirEntryBytes]byte
		d.encode(b[:])
		got, err := decodeDirEntry(b[:], 7, 3)
		wantNoError(t, err)
		wantEqual(t, "directory entry", got, d)
	}
}

func TestDirectoryEntryRefusals(t *testing.T) {
	for name, d := range map[string]dirEntry{
		"unknown kind":          {kind: 3},
		"chunk behind the last": {kind: chunkStored, stored: 7},
		"chunk far behind":      {kind: chunkStored, stored: 1 << 63},
		"layer of another kind": {kind: chunkStored, layer: 1},
		"layer too deep":        {kind: chunkInherited, layer: 3},
	} {
		var b [dirEntryBytes]byte
		d.encode(b[:])
		if _, err := decodeDirEntry(b[:], 7, 3); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
}

// TestPageMapRefusals spoils the page map of an image, fits all checksums and
// wants reading and Verify to find it.
func TestPageMapRefusals(t *testing.T) {
	entry := func(page int, v uint32) func([]byte) {
		return func(image []byte) { put32(page*mapEntryBytes, v)(sectionBytes(image, SectionPageMap)) }
	}
	directory := func(off int, v uint32) func([]byte) {
		return func(image []byte) { put32(off, v)(sectionBytes(image, SectionPageDirectory)) }
	}
	for _, c := range []spoiled{
		{"zero page with a value", entry(1, zeroPageEntry|7), ErrCorrupt},
		{"frame behind the last", entry(1, 1<<30|2<<1), ErrCorrupt},
		{"lost entry", entry(0, 0), ErrCorrupt},
		{"the unused kind", entry(1, 2<<30), ErrCorrupt},
		{"chunk of an ancestor", directory(0, uint32(chunkInherited)), ErrCorrupt},
		{"unknown kind of chunk", directory(0, 3), ErrCorrupt},
		{"chunk behind the last", directory(8, 1), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := goldenImage(t)
			c.spoil(image)
			reseal(image)
			img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
			_, err := readAll(img)
			wantClass(t, err, c.class)
			_, err = img.Verify(t.Context(), nil)
			wantEqual(t, "Verify refuses", refused(err), true)
		})
	}
}

// TestSwappedPagesAreFound checks the digest: every reference is valid and
// every checksum fits, but the pages are not the ones that were packed.
func TestSwappedPagesAreFound(t *testing.T) {
	for name, spoil := range map[string]func(pageMap []byte){
		"two pages swapped":      func(m []byte) { put32(0, 1<<30|2)(m); put32(5*mapEntryBytes, 1<<30)(m) },
		"a page and a hole":      func(m []byte) { put32(7*mapEntryBytes, zeroPageEntry)(m); put32(6*mapEntryBytes, 1<<30|3)(m) },
		"a duplicate of another": func(m []byte) { put32(3*mapEntryBytes, 1<<30|2)(m) },
	} {
		t.Run(name, func(t *testing.T) {
			image := goldenImage(t)
			spoil(sectionBytes(image, SectionPageMap))
			reseal(image)
			img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
			_, err := img.Verify(t.Context(), nil)
			wantClass(t, err, ErrCorrupt)
			_, err = UnpackFile(t.Context(), img.Path(), filepath.Join(t.TempDir(), "mem_file"), UnpackOptions{})
			wantClass(t, err, ErrCorrupt)
		})
	}
}

// TestWrongCountsAreFound checks the numbers of the header that nothing else
// depends on.
func TestWrongCountsAreFound(t *testing.T) {
	for name, spoil := range map[string]func([]byte){
		"zero pages":      put64(hdrZeroPages, 2),
		"duplicate pages": put64(hdrDupPages, 0),
		"parent pages":    put64(hdrParentPages, 1),
		"unused frame": func(b []byte) {
			m := sectionBytes(b, SectionPageMap)
			put32(5*mapEntryBytes, zeroPageEntry)(m)
			put32(7*mapEntryBytes, zeroPageEntry)(m)
			put64(hdrZeroPages, 5)(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			image := goldenImage(t)
			spoil(image)
			reseal(image)
			img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
			_, err := img.Verify(t.Context(), nil)
			wantClass(t, err, ErrCorrupt)
		})
	}
}

func TestPagesOutsideTheImage(t *testing.T) {
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t)))
	for _, c := range []struct{ first, count int64 }{{-1, 1}, {0, 9}, {8, 1}, {1 << 40, 1}} {
		wantClass(t, img.Pages(c.first, make([]PageRef, c.count)), ErrOption)
	}
	wantNoError(t, img.Pages(8, nil))
	refs := make([]PageRef, 8)
	wantNoError(t, img.Pages(0, refs))
	wantEqual(t, "page 3", refs[3], PageRef{Kind: PageInFrame})
	wantEqual(t, "page 7", refs[7], PageRef{Kind: PageInFrame, Frame: 1, Slot: 1})
	_, err := img.Frame(2)
	wantClass(t, err, ErrCorrupt)
}

// TestUnusedFrameIsFound moves all pages of a frame elsewhere, with counts that
// still add up.
func TestUnusedFrameIsFound(t *testing.T) {
	image := goldenImage(t)
	m := sectionBytes(image, SectionPageMap)
	put32(5*mapEntryBytes, 1<<30)(m)
	put32(7*mapEntryBytes, 1<<30|1)(m)
	reseal(image)
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
	wantClass(t, img.checkReferences(t.Context()), ErrCorrupt)
}

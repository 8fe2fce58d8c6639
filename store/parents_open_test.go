package store

import "testing"

// TestFramesOutliveTheirImage wants what was decoded of a parent to be there for the
// next child that is opened, be it that nobody had the parent open meanwhile.
func TestFramesOutliveTheirImage(t *testing.T) {
	_, child := goldenFamily(t)
	cache, err := NewFrameCache(1 << 20)
	wantNoError(t, err)
	defer cache.Close()
	parents := NewParents(nil)
	for range 2 {
		img, err := Open(child, OpenOptions{Parents: parents})
		wantNoError(t, err)
		page := make([]byte, PageBytes)
		_, err = cache.ReadAt(t.Context(), img, page, 0)
		wantNoError(t, err)
		wantBytes(t, "page 0", page, goldenChildMemory()[:PageBytes])
		wantNoError(t, img.Close())
		cache.frames.Wait()
	}
	wantEqual(t, "decoded frames", cache.DecodedFrames(), 1)
	wantEqual(t, "open images", len(parents.open), 0)
}

// TestOpenImagesAreShared wants two children of one parent to have it once, until the
// last of them is closed.
func TestOpenImagesAreShared(t *testing.T) {
	parent, child := goldenFamily(t)
	parents := NewParents(nil)
	first, err := Open(child, OpenOptions{Parents: parents})
	wantNoError(t, err)
	again, err := Open(child, OpenOptions{Parents: parents})
	wantNoError(t, err)
	base, err := Open(parent, OpenOptions{Parents: parents})
	wantNoError(t, err)
	wantEqual(t, "the child is shared", again == first, true)
	wantEqual(t, "the parent is shared", first.Parent() == base, true)
	wantNoError(t, base.Close())
	wantNoError(t, first.Close())
	wantEqual(t, "open images", len(parents.open), 2)
	wantContentOf(t, again, goldenChildMemory())
	wantNoError(t, again.Close())
	wantEqual(t, "open images", len(parents.open), 0)
}

package store

import (
	"bytes"
	"context"
	"errors"
)

// inheritance says which pages of a memory file its image need not store, because an
// ancestor has them. The sequence stage of packing alone uses it.
type inheritance interface {
	// look is called with each segment before find is asked about its pages.
	look(s *segment) error
	// find returns where page i of the segment is, and which page of the parent it
	// is, or false.
	find(s *segment, i int64) (ref PageRef, parentPage uint32, found bool, err error)
	close() error
}

// equalPages finds the pages that the parent has by their content: the page of the
// same number first, then any other.
type equalPages struct {
	parent *Image
	layers []*storedDigests // of the parent and its ancestors
	byPage *dedupIndex      // page of the parent plus 1, by digest
	refs   []PageRef        // in the parent, of the pages that look was called with
	count  int64            // of them
}

// newEqualPages makes the index of the parent's pages. It reads their digests, and
// no page.
func newEqualPages(ctx context.Context, parent *Image) (*equalPages, error) {
	e := &equalPages{parent: parent, byPage: newDedupIndex(parent.header.PageCount() - parent.header.ZeroPages), refs: make([]PageRef, chunkPages)}
	for _, layer := range parent.chain {
		digests, err := layer.loadDigests(ctx)
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.layers = append(e.layers, digests)
	}
	if err := e.index(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *equalPages) close() error {
	var err error
	for _, digests := range e.layers {
		err = errors.Join(err, digests.close())
	}
	return err
}

// index enters the pages of the parent, of equal ones the first.
func (e *equalPages) index(ctx context.Context) error {
	pageCount := e.parent.header.PageCount()
	for first := int64(0); first < pageCount; first += chunkPages {
		if err := ctx.Err(); err != nil {
			return err
		}
		refs := e.refs[:min(chunkPages, pageCount-first)]
		if err := e.parent.Pages(first, refs); err != nil {
			return err
		}
		err := guard(func() error {
			e.enter(first, refs)
			return nil
		})
		if err != nil {
			return e.parent.blame(err)
		}
	}
	return nil
}

// enter must run under guard.
func (e *equalPages) enter(firstPage int64, refs []PageRef) {
	for i, ref := range refs {
		stored := e.digestOf(ref)
		if stored == nil {
			continue
		}
		var digest Digest
		copy(digest[:], stored)
		if _, known := e.byPage.find(digest); !known {
			e.byPage.add(digest, uint32(firstPage)+uint32(i)+1)
		}
	}
}

// digestOf returns the digest of a page of the parent, nil if it is zero. It must
// run under guard.
func (e *equalPages) digestOf(ref PageRef) []byte {
	if ref.Kind != PageInFrame {
		return nil
	}
	layer, local := e.parent.layerOf(ref.Frame)
	return e.layers[layer.depth()].of(local, ref.Slot)
}

func (e *equalPages) look(s *segment) error {
	e.count = max(0, min(s.pageCount, e.parent.header.PageCount()-s.firstPage))
	if e.count == 0 {
		return nil
	}
	return e.parent.Pages(s.firstPage, e.refs[:e.count])
}

func (e *equalPages) find(s *segment, i int64) (ref PageRef, parentPage uint32, found bool, err error) {
	digest := s.digests[i]
	err = guard(func() error {
		if i < e.count && bytes.Equal(e.digestOf(e.refs[i]), digest[:]) {
			ref, parentPage, found = e.refs[i], uint32(s.firstPage+i), true
		}
		return nil
	})
	if found || err != nil {
		return ref, parentPage, found, e.parent.blame(err)
	}
	entry, known := e.byPage.find(digest)
	if !known {
		return PageRef{}, 0, false, nil
	}
	var other [1]PageRef
	err = e.parent.Pages(int64(entry)-1, other[:])
	return other[0], entry - 1, err == nil, err
}

// digestPages says what pages of the parent are: which are zeros, and the digests of
// the others. Any number of goroutines may call it.
func (e *equalPages) digestPages(firstPage int64, zero []bool, digests []Digest) error {
	if len(zero) == 0 {
		return nil
	}
	refs := make([]PageRef, len(zero))
	if err := e.parent.Pages(firstPage, refs); err != nil {
		return err
	}
	return e.parent.blame(guard(func() error {
		for i, ref := range refs {
			if zero[i] = ref.Kind == PageZero; zero[i] {
				continue
			}
			digest := e.digestOf(ref)
			if digest == nil {
				return corruptAt(wholeFile, "page %d is in slot %d of frame %d, which has fewer", firstPage+int64(i), ref.Slot, ref.Frame)
			}
			copy(digests[i][:], digest)
		}
		return nil
	}))
}

// keptPages leaves the pages of a child, which is written anew, where they are if an
// ancestor has them.
type keptPages struct {
	img  *Image
	refs []PageRef
}

func newKeptPages(img *Image) *keptPages { return &keptPages{img, make([]PageRef, segmentPages)} }

func (k *keptPages) close() error { return nil }

func (k *keptPages) look(s *segment) error { return k.img.Pages(s.firstPage, k.refs[:s.pageCount]) }

func (k *keptPages) find(s *segment, i int64) (ref PageRef, parentPage uint32, found bool, err error) {
	ref = k.refs[i]
	if ref.Kind != PageInFrame || int64(ref.Frame) >= k.img.firstFrame {
		return PageRef{}, 0, false, nil
	}
	page, err := k.img.parentPage(s.firstPage + i)
	return ref, uint32(page), err == nil, inFile(k.img.path, err)
}

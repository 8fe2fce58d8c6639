package prefetch

import (
	"cmp"
	"fmt"
	"slices"

	"sabrefs/store"
)

const (
	// windowPages is how many pages of the working set are sorted by address
	// together. First-touch order is kept from window to window; within one,
	// neighbors come together, so that one call pushes a run of them. 4 MiB are
	// pushed in about 3 ms: the guest loses no more by the sorting. Images are laid
	// out by the same windows.
	windowPages = 1024
	// batchRawBytes is the raw size of frames from which on a batch is full: enough
	// for a read that a disk likes and small enough to be pushed out of the
	// processor's cache.
	batchRawBytes = 512 << 10
	// maxSpanPages bounds one call: 1 MiB.
	maxSpanPages = 256
	// maxGapPages is the longest gap between two pages that is pushed along, if its
	// bytes are at hand: a call costs about as much as four pages.
	maxGapPages = 4
)

// batch is a piece of the plan: frames to decode together, and spans of guest
// memory to push from them.
type batch struct {
	frames []uint32
	spans  []span
	pages  int64 // of the working set
}

// span is a piece of guest memory that one call pushes. Each page has its place.
type span struct {
	firstPage uint32
	places    []place
}

// place is where the bytes of a page are: in a slot of a frame of the batch, by
// its index, or nowhere if the page is zero.
type place struct {
	index int32 // of the frame in batch.frames; zeroPlace for a page of zeros
	slot  uint8
}

const zeroPlace = -1

// planned is a page of the working set and where its bytes are. Pages of one frame
// are of one group.
type planned struct {
	page  uint32
	group int32
	ref   store.PageRef
}

// planner turns a list of pages into batches.
type planner struct {
	img     *store.Image
	batches []batch
}

// makePlan returns the batches that push the pages, which are in first-touch order
// and of the image. A frame occurs in one batch only, with all of its pages.
func makePlan(img *store.Image, pages []uint32) ([]batch, error) {
	p := &planner{img: img}
	grouped, err := p.groupByFrame(pages)
	if err != nil {
		return nil, err
	}
	for len(grouped) > 0 {
		end := windowEnd(grouped)
		if err := p.planWindow(grouped[:end]); err != nil {
			return nil, err
		}
		grouped = grouped[end:]
	}
	return p.batches, nil
}

// groupByFrame looks the pages up and brings those of one frame together, where
// the first of them stands. Zero pages stay with the page before them.
func (p *planner) groupByFrame(pages []uint32) ([]planned, error) {
	refs, err := lookup(p.img, pages)
	if err != nil {
		return nil, err
	}
	groupOf := make(map[uint32]int32, len(pages)/4) // frames, numbered by first use
	found := make([]planned, len(pages))
	counts := []int32{0} // pages of each group; the first is of zero pages before any frame
	current := int32(0)
	for i, ref := range refs {
		if ref.Kind == store.PageInFrame {
			group, known := groupOf[ref.Frame]
			if !known {
				group = int32(len(counts))
				groupOf[ref.Frame] = group
				counts = append(counts, 0)
			}
			current = group
		}
		found[i] = planned{pages[i], current, ref}
		counts[current]++
	}
	return gather(found, counts), nil
}

// gather sorts pages by group, keeping their order within each; counts has the
// size of each group.
func gather(found []planned, counts []int32) []planned {
	next := make([]int32, len(counts))
	for i := 1; i < len(counts); i++ {
		next[i] = next[i-1] + counts[i-1]
	}
	sorted := make([]planned, len(found))
	for _, page := range found {
		sorted[next[page.group]] = page
		next[page.group]++
	}
	return sorted
}

// lookup finds the places of pages. They are looked up by address, piece by piece:
// each lookup has a price of its own.
func lookup(img *store.Image, pages []uint32) ([]store.PageRef, error) {
	byAddress := make([]int32, len(pages))
	for i := range byAddress {
		byAddress[i] = int32(i)
	}
	slices.SortFunc(byAddress, func(a, b int32) int { return cmp.Compare(pages[a], pages[b]) })
	refs := make([]store.PageRef, len(pages))
	const pieceGap, piecePages = 64, 4096
	piece := make([]store.PageRef, 0, piecePages)
	for i := 0; i < len(byAddress); {
		first, last, end := pages[byAddress[i]], pages[byAddress[i]], i
		for ; end < len(byAddress); end++ {
			page := pages[byAddress[end]]
			if page-last > pieceGap || page-first >= piecePages {
				break
			}
			last = page
		}
		piece = piece[:last-first+1]
		if err := img.Pages(int64(first), piece); err != nil {
			return nil, err
		}
		for ; i < end; i++ {
			refs[byAddress[i]] = piece[pages[byAddress[i]]-first]
		}
	}
	return refs, nil
}

// windowEnd returns how many of the pages the next window has: as many as are
// sorted together, and then the rest of the last frame.
func windowEnd(grouped []planned) int {
	if len(grouped) <= windowPages {
		return len(grouped)
	}
	end := windowPages
	for end < len(grouped) && grouped[end].group == grouped[end-1].group {
		end++
	}
	return end
}

// planWindow sorts a window by address, cuts it into batches of whole frames, and
// each batch into spans.
func (p *planner) planWindow(window []planned) error {
	byAddress := slices.Clone(window)
	slices.SortFunc(byAddress, func(a, b planned) int { return cmp.Compare(a.page, b.page) })
	first := len(p.batches)
	batchOf := make(map[uint32]int)
	rawBytes := int64(batchRawBytes) // so that the first frame begins a batch
	for _, page := range byAddress {
		if page.ref.Kind != store.PageInFrame {
			continue
		}
		if _, known := batchOf[page.ref.Frame]; known {
			continue
		}
		entry, err := p.img.Frame(page.ref.Frame)
		if err != nil {
			return err
		}
		if rawBytes+int64(entry.RawBytes()) > batchRawBytes {
			p.batches = append(p.batches, batch{})
			rawBytes = 0
		}
		rawBytes += int64(entry.RawBytes())
		last := &p.batches[len(p.batches)-1]
		last.frames = append(last.frames, page.ref.Frame)
		batchOf[page.ref.Frame] = len(p.batches) - 1
	}
	if len(p.batches) == first { // nothing but zeros
		p.batches = append(p.batches, batch{})
	}
	return p.fill(byAddress, batchOf, first)
}

// fill puts the pages of a window, by address, into the batches of their frames.
func (p *planner) fill(byAddress []planned, batchOf map[uint32]int, first int) error {
	fillers := make([]filler, len(p.batches)-first)
	for i := range fillers {
		b := &p.batches[first+i]
		fillers[i] = filler{img: p.img, batch: b, index: make(map[uint32]int32, len(b.frames))}
		for k, frame := range b.frames {
			fillers[i].index[frame] = int32(k)
		}
	}
	current := 0
	for _, page := range byAddress {
		if page.ref.Kind == store.PageInFrame {
			current = batchOf[page.ref.Frame] - first
		}
		if err := fillers[current].add(page); err != nil {
			return err
		}
	}
	return nil
}

// filler makes the spans of one batch.
type filler struct {
	img   *store.Image
	batch *batch
	index map[uint32]int32 // of frames in the batch
}

// add puts a page behind the last span, or begins a new one.
func (f *filler) add(page planned) error {
	at, ok := f.place(page.ref)
	if !ok {
		return fmt.Errorf("planning page %d: %w", page.page, store.ErrParent)
	}
	f.batch.pages++
	gap, err := f.gapBefore(page.page)
	if err != nil {
		return err
	}
	if gap == nil {
		f.batch.spans = append(f.batch.spans, span{page.page, []place{at}})
		return nil
	}
	last := &f.batch.spans[len(f.batch.spans)-1]
	last.places = append(append(last.places, *gap...), at)
	return nil
}

// place finds a page in the batch.
func (f *filler) place(ref store.PageRef) (place, bool) {
	switch ref.Kind {
	case store.PageZero:
		return place{index: zeroPlace}, true
	case store.PageInFrame:
		index, ok := f.index[ref.Frame]
		return place{index, ref.Slot}, ok
	default:
		return place{}, false
	}
}

// gapBefore returns the places of the pages between the last span and a page, or
// nil if the page cannot continue that one.
func (f *filler) gapBefore(page uint32) (*[]place, error) {
	if len(f.batch.spans) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to continue
	}
	last := f.batch.spans[len(f.batch.spans)-1]
	runEnd := last.firstPage + uint32(len(last.places))
	gapPages := page - runEnd
	if page < runEnd || gapPages > maxGapPages || len(last.places)+int(gapPages) >= maxSpanPages {
		return nil, nil //nolint:nilnil // too far
	}
	places := make([]place, 0, maxGapPages)
	if gapPages == 0 {
		return &places, nil
	}
	refs := make([]store.PageRef, gapPages)
	if err := f.img.Pages(int64(runEnd), refs); err != nil {
		return nil, err
	}
	for _, ref := range refs {
		at, ok := f.place(ref)
		if !ok {
			return nil, nil //nolint:nilnil // its bytes are not at hand
		}
		places = append(places, at)
	}
	return &places, nil
}

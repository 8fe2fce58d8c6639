package prefetch

import (
	"slices"

	"sabrefs/store"
)

const (
	// windowPages is how many pages of the working set are pushed in order of
	// address together. First-touch order is kept from window to window; within one,
	// neighbors come together, so that one call pushes a span of them. 4 MiB are
	// pushed in about 3 ms: the guest loses no more by that. Images are laid out by
	// the same windows.
	windowPages = 1024
	// batchRawBytes is the raw size of frames from which on a batch is full: enough
	// for a read that a disk likes, and small enough to be pushed out of the
	// processor's cache.
	batchRawBytes = store.AheadBatchBytes
	// maxSpanPages bounds one call: 1 MiB.
	maxSpanPages = 256
	// maxGapPages is the longest gap between two pages that is pushed along, if its
	// bytes are at hand: a call costs about as much as four pages.
	maxGapPages = 4
)

// batch is a piece of the plan: frames to decode together, and spans of guest
// memory to push from them.
type batch struct {
	frames  []uint32
	spans   []span
	extents []extent // one for each layer that has frames of the batch
}

// extent is where the frames of a batch lie in the file of one layer.
type extent struct {
	layer                int
	packedOff, packedEnd int64
}

// extend moves the bounds of the batch so that they have a frame within.
func (b *batch) extend(entry store.FrameEntry) {
	end := entry.PackedOff + int64(entry.PackedLen)
	for i := range b.extents {
		if e := &b.extents[i]; e.layer == entry.Layer {
			e.packedOff, e.packedEnd = min(e.packedOff, entry.PackedOff), max(e.packedEnd, end)
			return
		}
	}
	b.extents = append(b.extents, extent{entry.Layer, entry.PackedOff, end})
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

// located is a page and where its bytes are.
type located struct {
	page  uint32
	touch int32 // its place in first-touch order; gapTouch for a page in a gap
	frame int32 // index in planner.frames; zeroFrame for a page of zeros
	slot  uint8
}

const (
	gapTouch  = -1
	zeroFrame = -1
)

// plannedFrame is a frame that the plan needs.
type plannedFrame struct {
	number   uint32
	pages    int32 // of the working set
	firstUse int32 // in first-touch order
	window   int32
	batch    int32
	index    int32 // in the batch
}

// planner turns a list of pages into batches.
type planner struct {
	img       *store.Image
	byAddress []located
	frames    []plannedFrame
	known     map[uint32]int32 // frames by number
	windows   int32
}

// makePlan hands out the batches that push the pages, which are of the image, in
// first-touch order, each once. A frame occurs in one batch only, with all of its
// pages. An error of take ends it.
func makePlan(img *store.Image, pages []uint32, take func(batch) error) error {
	p := &planner{img: img, known: make(map[uint32]int32, len(pages)/8)}
	if err := p.locate(pages); err != nil {
		return err
	}
	p.cutWindows()
	planned := int32(0)
	for _, window := range p.distribute() {
		batches, err := p.planWindow(window, planned)
		if err != nil {
			return err
		}
		planned += int32(len(batches))
		for _, b := range batches {
			if err := take(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutWindows gives each frame its window, in the order in which they are first
// used.
func (p *planner) cutWindows() {
	order := make([]uint64, len(p.frames)) // first use and index
	for i, f := range p.frames {
		order[i] = uint64(f.firstUse)<<32 | uint64(i)
	}
	slices.Sort(order)
	pages := int32(0)
	p.windows = 1
	for _, entry := range order {
		f := &p.frames[uint32(entry)]
		if pages > 0 && pages+f.pages > windowPages {
			p.windows++
			pages = 0
		}
		f.window = p.windows - 1
		pages += f.pages
	}
}

// distribute returns the pages of each window by address. A page of zeros goes with
// the page before it if that is near, so that both are pushed together.
func (p *planner) distribute() [][]located {
	windows := make([][]located, p.windows)
	room := make([]located, 0, len(p.byAddress))
	of, counts := make([]int32, len(p.byAddress)), make([]int, p.windows)
	for i, l := range p.byAddress {
		of[i] = p.windowOf(i, l, of)
		counts[of[i]]++
	}
	for w, count := range counts {
		windows[w] = room[len(room) : len(room) : len(room)+count]
		room = room[:len(room)+count]
	}
	for i, l := range p.byAddress {
		windows[of[i]] = append(windows[of[i]], l)
	}
	return windows
}

// windowOf is the window of the i-th page by address; of has those of the pages
// before it.
func (p *planner) windowOf(i int, l located, of []int32) int32 {
	switch {
	case l.frame != zeroFrame:
		return p.frames[l.frame].window
	case i > 0 && l.page-p.byAddress[i-1].page <= maxGapPages+1:
		return of[i-1]
	default:
		return min(max(l.touch, 0)/windowPages, p.windows-1)
	}
}

// planWindow cuts a window, which is sorted by address, into batches of whole
// frames, and each batch into spans. firstBatch is the number of its first batch.
func (p *planner) planWindow(window []located, firstBatch int32) ([]batch, error) {
	batches := []batch{{}}
	rawBytes := 0
	for _, l := range window {
		if l.frame == zeroFrame || p.frames[l.frame].batch >= firstBatch {
			continue
		}
		f := &p.frames[l.frame]
		entry, err := p.img.Frame(f.number)
		if err != nil {
			return nil, err
		}
		if rawBytes > 0 && rawBytes+entry.RawBytes() > batchRawBytes {
			batches = append(batches, batch{})
			rawBytes = 0
		}
		rawBytes += entry.RawBytes()
		last := &batches[len(batches)-1]
		last.extend(entry)
		f.batch, f.index = firstBatch+int32(len(batches)-1), int32(len(last.frames))
		last.frames = append(last.frames, f.number)
	}
	p.makeSpans(window, batches, firstBatch)
	return batches, nil
}

// makeSpans puts the pages of a window into the batches of their frames.
func (p *planner) makeSpans(window []located, batches []batch, firstBatch int32) {
	makers := make([]spanMaker, len(batches))
	counts := make([]int, len(batches))
	p.forEachPlace(window, firstBatch, func(batch int32, _ located, _ place) { counts[batch]++ })
	for i := range makers {
		makers[i] = spanMaker{batch: &batches[i], places: make([]place, 0, counts[i])}
	}
	p.forEachPlace(window, firstBatch, func(batch int32, l located, at place) { makers[batch].add(l, at) })
}

// forEachPlace visits the pages of a window with their batches, counted from the
// first of the window. Pages of zeros go with the page before them.
func (p *planner) forEachPlace(window []located, firstBatch int32, visit func(batch int32, l located, at place)) {
	current := int32(0)
	for _, l := range window {
		at := place{index: zeroPlace}
		if l.frame != zeroFrame {
			f := &p.frames[l.frame]
			current = f.batch - firstBatch
			at = place{f.index, l.slot}
		}
		visit(current, l, at)
	}
}

// spanMaker makes the spans of one batch.
type spanMaker struct {
	batch  *batch
	places []place // room for those of all spans, which stand one behind the other
	gap    []place // behind the last span; of no use unless a page follows
}

// add takes pages in order of address.
func (m *spanMaker) add(l located, at place) {
	continues := false
	if n := len(m.batch.spans); n > 0 {
		last := &m.batch.spans[n-1]
		end := last.firstPage + uint32(len(last.places)+len(m.gap))
		continues = l.page == end && len(last.places)+len(m.gap) < maxSpanPages
	}
	switch {
	case l.touch == gapTouch && continues:
		m.gap = append(m.gap, at)
	case l.touch == gapTouch: // a span does not begin with a gap
	case continues:
		last := &m.batch.spans[len(m.batch.spans)-1]
		m.places = append(append(m.places, m.gap...), at)
		last.places = m.places[len(m.places)-len(last.places)-len(m.gap)-1:]
		m.gap = m.gap[:0]
	default:
		m.places = append(m.places, at)
		m.batch.spans = append(m.batch.spans, span{l.page, m.places[len(m.places)-1:]})
		m.gap = m.gap[:0]
	}
}

// locate finds the places of pages and of those in small gaps between them. Pages
// are looked up by address, piece by piece: each lookup has a price of its own.
func (p *planner) locate(pages []uint32) error {
	if len(pages) == 0 {
		return nil
	}
	order := make([]uint64, len(pages)) // page and place in first-touch order
	for i, page := range pages {
		order[i] = uint64(page)<<32 | uint64(i)
	}
	order = sortByPage(order)
	p.byAddress = make([]located, 0, len(pages)+len(pages)/4)
	refs := make([]store.PageRef, piecePages)
	for len(order) > 0 {
		end := pieceEnd(order)
		if err := p.locatePiece(order[:end], refs); err != nil {
			return err
		}
		order = order[end:]
	}
	return nil
}

// sortByPage sorts entries by their upper halves, which are page numbers. Page by
// page comparison would take a millisecond that a guest waits for.
func sortByPage(order []uint64) []uint64 {
	const digitBits, pageBits = 10, 30
	other := make([]uint64, len(order))
	for shift := 32; shift < 32+pageBits; shift += digitBits {
		var next [1 << digitBits]int32
		digit := func(entry uint64) uint64 { return entry >> shift & (1<<digitBits - 1) }
		for _, entry := range order {
			next[digit(entry)]++
		}
		if next[digit(order[0])] == int32(len(order)) { // the same in all of them
			continue
		}
		sum := int32(0)
		for i, count := range next {
			next[i], sum = sum, sum+count
		}
		for _, entry := range order {
			d := digit(entry)
			other[next[d]] = entry
			next[d]++
		}
		order, other = other, order
	}
	return order
}

const (
	// pieceGapPages is the gap from which on two lookups cost less than one over it.
	pieceGapPages = 64
	// piecePages bounds a lookup.
	piecePages = 4096
)

// pieceEnd returns how many of the sorted pages are looked up at once.
func pieceEnd(order []uint64) int {
	end := 1
	for end < len(order) && order[end]>>32-order[end-1]>>32 <= pieceGapPages && order[end]>>32-order[0]>>32 < piecePages {
		end++
	}
	return end
}

// locatePiece looks pages up that lie near one another; refs is room for the
// places.
func (p *planner) locatePiece(order []uint64, refs []store.PageRef) error {
	firstPage := uint32(order[0] >> 32)
	refs = refs[:uint32(order[len(order)-1]>>32)-firstPage+1]
	if err := p.img.Pages(int64(firstPage), refs); err != nil {
		return err
	}
	for i, entry := range order {
		page, touch := uint32(entry>>32), int32(uint32(entry))
		ref := refs[page-firstPage]
		p.use(ref, touch)
		if i > 0 {
			before := uint32(order[i-1] >> 32)
			for gap := before + 1; gap < page && page-before <= maxGapPages+1; gap++ {
				p.add(gap, gapTouch, refs[gap-firstPage])
			}
		}
		p.add(page, touch, ref)
	}
	return nil
}

// use takes note of the frame of a page of the working set.
func (p *planner) use(ref store.PageRef, touch int32) {
	if ref.Kind != store.PageInFrame {
		return
	}
	index, known := p.known[ref.Frame]
	if !known {
		index = int32(len(p.frames))
		p.known[ref.Frame] = index
		p.frames = append(p.frames, plannedFrame{number: ref.Frame, firstUse: touch, batch: -1})
	}
	f := &p.frames[index]
	f.pages++
	f.firstUse = min(f.firstUse, touch)
}

// add takes a page whose bytes are zeros or in a frame that is used. Others are
// left to demand: those in a gap for which alone a frame would have to be decoded.
// (A frame that is first used further up is not known yet; then the gap is not
// closed.)
func (p *planner) add(page uint32, touch int32, ref store.PageRef) {
	switch ref.Kind {
	case store.PageInFrame:
		if index, known := p.known[ref.Frame]; known {
			p.byAddress = append(p.byAddress, located{page, touch, index, ref.Slot})
		}
	case store.PageZero:
		p.byAddress = append(p.byAddress, located{page, touch, zeroFrame, 0})
	}
}

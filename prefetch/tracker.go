package prefetch

import "sync/atomic"

// Tracker remembers what prefetch did for each page of one memory file, to tell
// afterwards what it was good for. The page cache does not show who reads from it,
// but it does ask for what it lacks:
//
//   - a page of the working set that is asked for before it was pushed came late;
//   - a page that is asked for after it was pushed had been evicted: the push was
//     wasted, as is that of a page between two runs that was pushed along;
//   - any other pushed page was there when the guest came, if it came: pages are
//     recorded because a guest used them.
//
// It may be used by any number of goroutines.
type Tracker struct {
	planned, pushed, late, evicted pageBits

	plannedPages, pushedPages, gapPages, restPages, latePages, evictedPages atomic.Int64
}

// NewTracker returns a tracker for a file of so many pages.
func NewTracker(pageCount int64) *Tracker {
	return &Tracker{
		planned: newPageBits(pageCount), pushed: newPageBits(pageCount),
		late: newPageBits(pageCount), evicted: newPageBits(pageCount),
	}
}

// plan takes note of a page that is to be pushed because it was recorded.
func (t *Tracker) plan(page int64) {
	if t.planned.add(page) {
		t.plannedPages.Add(1)
	}
}

// IsPlanned reports whether a page is of the working set.
func (t *Tracker) IsPlanned(page int64) bool { return t.planned.has(page) }

// push takes note of pages that are in the page cache now.
func (t *Tracker) push(firstPage, pageCount int64) {
	var pushed, gaps int64
	for page := firstPage; page < firstPage+pageCount; page++ {
		switch {
		case !t.pushed.add(page):
		case t.planned.has(page):
			pushed++
		default:
			gaps++
		}
	}
	t.pushedPages.Add(pushed)
	t.gapPages.Add(gaps)
}

// pushRest is push for pages of the rest of the image, of which nobody knows
// whether they will be used.
func (t *Tracker) pushRest(firstPage, pageCount int64) {
	for page := firstPage; page < firstPage+pageCount; page++ {
		if t.pushed.add(page) {
			t.restPages.Add(1)
		}
	}
}

// Demand takes note of pages that the kernel asks for.
func (t *Tracker) Demand(firstPage, pageCount int64) {
	for page := firstPage; page < firstPage+pageCount; page++ {
		switch {
		case t.pushed.has(page):
			if t.evicted.add(page) {
				t.evictedPages.Add(1)
			}
		case t.planned.has(page):
			if t.late.add(page) {
				t.latePages.Add(1)
			}
		}
	}
}

// PageCounts are what a Tracker knows. Each page counts once, however often it was
// pushed or asked for.
type PageCounts struct {
	Planned int64 `json:"planned_pages"` // of the working set
	Pushed  int64 `json:"pushed_pages"`  // into the page cache, of whatever kind
	Used    int64 `json:"used_pages"`    // pushed because they were recorded, and not asked for since
	Late    int64 `json:"late_pages"`    // asked for before they were pushed
	Evicted int64 `json:"evicted_pages"` // asked for after they were pushed
	Gap     int64 `json:"gap_pages"`     // pushed along between two pages of the working set
	Rest    int64 `json:"rest_pages"`    // pushed because all of the image was to be
	Wasted  int64 `json:"wasted_pages"`  // evicted and gap pages
}

// Counts returns what is known now.
func (t *Tracker) Counts() PageCounts {
	recorded := t.pushedPages.Load()
	c := PageCounts{
		Planned: t.plannedPages.Load(), Late: t.latePages.Load(), Evicted: t.evictedPages.Load(),
		Gap: t.gapPages.Load(), Rest: t.restPages.Load(),
	}
	c.Pushed = recorded + c.Gap + c.Rest
	c.Wasted = min(c.Evicted+c.Gap, c.Pushed)
	c.Used = max(0, recorded-c.Evicted)
	return c
}

// pageBits is a set of pages that many goroutines may add to.
type pageBits []atomic.Uint32

func newPageBits(pageCount int64) pageBits { return make(pageBits, (pageCount+31)/32) }

func (s pageBits) has(page int64) bool { return s[page/32].Load()&(1<<(page%32)) != 0 }

// add reports whether the page was not in the set before.
func (s pageBits) add(page int64) bool {
	bit := uint32(1) << (page % 32)
	return s[page/32].Or(bit)&bit == 0
}

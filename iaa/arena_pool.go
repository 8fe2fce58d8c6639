package iaa

import (
	"slices"
	"sync"
	"sync/atomic"
)

// slotPool hands out the slots of a class. Batches take and give back many at
// once, so that the lock costs little for each. A batch that finds none may
// stand in line; slots that come back go to those in line first, one to each.
type slotPool struct {
	mu   sync.Mutex
	free []*slot       // guarded by mu; empty while anybody is in line
	line []*slotWaiter // guarded by mu
	// waiting is len(line), for those who only want to know whether to be
	// generous.
	waiting atomic.Int32
}

// slotWaiter is a place in the line.
type slotWaiter struct {
	granted atomic.Pointer[slot] // set once by who gives, then out of the line
}

// take appends up to count slots.
func (p *slotPool) take(to []*slot, count int) []*slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := max(0, len(p.free)-count)
	to = append(to, p.free[rest:]...)
	p.free = p.free[:rest]
	return to
}

// give takes slots back that the device has finished with.
func (p *slotPool) give(slots ...*slot) {
	if len(slots) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(slots), len(p.line))
	for i, w := range p.line[:n] {
		w.granted.Store(slots[i])
	}
	p.line = slices.Delete(p.line, 0, n)
	p.waiting.Store(int32(len(p.line)))
	p.free = append(p.free, slots[n:]...)
}

// join stands in line, or gets a slot at once.
func (p *slotPool) join(w *slotWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.granted.Store(nil)
	if last := len(p.free) - 1; last >= 0 {
		w.granted.Store(p.free[last])
		p.free = p.free[:last]
		return
	}
	p.line = append(p.line, w)
	p.waiting.Store(int32(len(p.line)))
}

// leave gives the place in line up. It returns the slot that came in the last
// moment, or nil.
func (p *slotPool) leave(w *slotWaiter) *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.line, w); i >= 0 {
		p.line = slices.Delete(p.line, i, i+1)
		p.waiting.Store(int32(len(p.line)))
	}
	return w.granted.Swap(nil)
}

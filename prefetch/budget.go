package prefetch

import "sync/atomic"

// Budget bounds the bytes that prefetch keeps in the page cache, over all files
// that share it. It may be used by any number of goroutines.
type Budget struct {
	leftBytes atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(lenBytes int64) *Budget {
	b := &Budget{}
	b.leftBytes.Store(lenBytes)
	return b
}

// take reserves bytes, all or none of them.
func (b *Budget) take(lenBytes int64) bool {
	if b.leftBytes.Add(-lenBytes) >= 0 {
		return true
	}
	b.leftBytes.Add(lenBytes)
	return false
}

// Return gives bytes back: their file is no longer in use, and the kernel may
// forget its pages first.
func (b *Budget) Return(lenBytes int64) { b.leftBytes.Add(lenBytes) }

// LeftBytes is what may still be pushed.
func (b *Budget) LeftBytes() int64 { return b.leftBytes.Load() }

package store

import "sync/atomic"

// bitmap is a set of small numbers that many goroutines may add to.
type bitmap []atomic.Uint32

func newBitmap(n int64) bitmap { return make(bitmap, (n+31)/32) }

func (b bitmap) has(i int64) bool { return b[i/32].Load()&(1<<(i%32)) != 0 }

func (b bitmap) set(i int64) { b[i/32].Or(1 << (i % 32)) }

package memory

import (
	"math/bits"
	"sync/atomic"
)

// pageBitmap has a bit for each page of a memory file. Any number of goroutines
// may set bits.
type pageBitmap []atomic.Uint64

func newPageBitmap(pageCount int64) pageBitmap { return make(pageBitmap, (pageCount+63)/64) }

// setRange sets the bits of pages first to last, both included.
func (b pageBitmap) setRange(first, last int64) {
	for page := first; page <= last; page++ {
		b[page/64].Or(1 << (page % 64))
	}
}

// merge sets the bits of words, the first of which is for page firstPage, a
// multiple of 64. Words beyond the end are dropped.
func (b pageBitmap) merge(firstPage int64, words []uint64) {
	at := b[min(firstPage/64, int64(len(b))):]
	for i, w := range words[:min(len(words), len(at))] {
		if w != 0 {
			at[i].Or(w)
		}
	}
}

func (b pageBitmap) clear() {
	for i := range b {
		b[i].Store(0)
	}
}

func (b pageBitmap) words() []uint64 {
	words := make([]uint64, len(b))
	for i := range b {
		words[i] = b[i].Load()
	}
	return words
}

// CountPages returns how many bits are set.
func CountPages(words []uint64) (pageCount int64) {
	for _, w := range words {
		pageCount += int64(bits.OnesCount64(w))
	}
	return pageCount
}

package store

import (
	"encoding/binary"
	"reflect"
	"testing"
)

func numberedDigest(n uint64) Digest {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return pageDigest(b[:])
}

func TestDedupFindsWhatFits(t *testing.T) {
	const pages = 1000
	x := newDedupIndex(pages)
	for n := range uint64(pages) {
		if _, found := x.find(numberedDigest(n)); found {
			t.Fatalf("page %d was found before it was added", n)
		}
		x.add(numberedDigest(n), uint32(n)|1<<30)
	}
	found := 0
	for n := range uint64(pages) {
		if entry, ok := x.find(numberedDigest(n)); ok {
			wantEqual(t, "entry", entry, uint32(n)|1<<30)
			found++
		}
	}
	// buckets fill unevenly; with twice the room hardly any overflows
	if found < pages*99/100 {
		t.Errorf("%d of %d pages were found", found, pages)
	}
}

// TestDedupForgets fills a small index with far more than it holds: it must
// forget the oldest, keep the newest and never answer wrongly.
func TestDedupForgets(t *testing.T) {
	x := newDedupIndex(16)
	size := len(x.buckets)
	const pages = 10000
	for n := range uint64(pages) {
		x.add(numberedDigest(n), uint32(n)+1)
		entry, found := x.find(numberedDigest(n))
		if !found || entry != uint32(n)+1 {
			t.Fatalf("page %d is %d (%v) right after it was added", n, entry, found)
		}
	}
	wantEqual(t, "buckets", len(x.buckets), size)
	remembered := 0
	for n := range uint64(pages) {
		if entry, found := x.find(numberedDigest(n)); found {
			wantEqual(t, "entry", entry, uint32(n)+1)
			remembered++
		}
	}
	if remembered == 0 || remembered > size*dedupWays {
		t.Errorf("%d pages are remembered in %d places", remembered, size*dedupWays)
	}
}

// TestDedupIsBounded checks the memory for the largest image.
func TestDedupIsBounded(t *testing.T) {
	x := newDedupIndex(MaxRawBytes / PageBytes)
	if lenBytes := len(x.buckets) * int(reflect.TypeFor[dedupBucket]().Size()); lenBytes > 48<<20 {
		t.Errorf("the index of the largest image has %d bytes", lenBytes)
	}
	empty := newDedupIndex(0)
	_, found := empty.find(Digest{})
	wantEqual(t, "an empty index finds an all-zero digest", found, false)
}

// TestDedupComparesTheWholeKey looks for pages of which half the key is that of
// another page.
func TestDedupComparesTheWholeKey(t *testing.T) {
	x := newDedupIndex(1) // few buckets: all of them are looked at
	d := numberedDigest(1)
	x.add(d, 1<<30)
	for i := range 16 {
		other := d
		other[i] ^= 0x10
		_, found := x.find(other)
		wantEqual(t, "another page is found", found, false)
	}
	other := d
	other[16] ^= 1 // not in the key
	_, found := x.find(other)
	wantEqual(t, "the page is found by its key", found, true)
}

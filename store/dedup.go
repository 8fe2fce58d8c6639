package store

import "encoding/binary"

// dedupIndex finds the stored copy of a page by the page's digest. Its memory
// is fixed when it is made: it is a table of buckets in which a new page
// displaces the one that was there longest. What it forgets is stored twice;
// that costs space and never correctness.
type dedupIndex struct {
	buckets []dedupBucket
	mask    uint64
}

const (
	dedupWays = 8
	// maxDedupPages bounds the index to 40 MiB: it remembers the last 4 GiB of
	// distinct pages at least.
	maxDedupPages = 1 << 20
)

// dedupBucket is a ring of pages. A key has 128 bits of the page's SHA-256: two
// pages with the same key are equal, as far as anyone knows how to make others.
type dedupBucket struct {
	keys    [dedupWays][2]uint64
	entries [dedupWays]uint32 // page map entries; 0, which is none, means free
	next    uint8
}

func newDedupIndex(pageCount int64) *dedupIndex {
	// twice the room that the pages need, for buckets fill unevenly
	buckets := uint64(1)
	for buckets*dedupWays < 2*uint64(min(pageCount, maxDedupPages)) {
		buckets *= 2
	}
	return &dedupIndex{buckets: make([]dedupBucket, buckets), mask: buckets - 1}
}

func dedupKey(d Digest) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(d[0:]), binary.LittleEndian.Uint64(d[8:])}
}

// find returns the page map entry of an equal page.
func (x *dedupIndex) find(d Digest) (uint32, bool) {
	key := dedupKey(d)
	b := &x.buckets[key[0]&x.mask]
	for i, k := range b.keys {
		if k == key && b.entries[i] != 0 {
			return b.entries[i], true
		}
	}
	return 0, false
}

// add remembers where a page is stored.
func (x *dedupIndex) add(d Digest, entry uint32) {
	key := dedupKey(d)
	b := &x.buckets[key[0]&x.mask]
	b.keys[b.next], b.entries[b.next] = key, entry
	b.next = (b.next + 1) % dedupWays
}

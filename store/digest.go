package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// pageDigest is the digest of one page of PageBytes bytes.
func pageDigest(page []byte) Digest { return sha256.Sum256(page) }

// zeroDigests are the digests of a page of zeros and of a chunk of them, which
// sparse inputs need millions of times.
var zeroDigests = sync.OnceValue(func() (d struct{ page, chunk Digest }) {
	d.page = pageDigest(make([]byte, PageBytes))
	h := sha256.New()
	for range chunkPages {
		h.Write(d.page[:])
	}
	h.Sum(d.chunk[:0])
	return d
})

// contentDigester computes the digest of an image's logical content from the
// digests of its pages, in order of page numbers:
//
//	SHA-256( raw size as u64 || chunk digest 0 || chunk digest 1 || ... )
//	chunk digest = SHA-256( page digest || page digest || ... )
//
// for chunks of 4096 pages, of which the last may have fewer. A partial last
// page counts as filled with zeros. The tree form makes holes cheap: a chunk
// of zeros has a digest that is known beforehand.
type contentDigester struct {
	rawBytes  int64
	pageCount int64
	nextPage  int64
	chunks    []byte // digests of the chunks that are complete
	chunk     hash.Hash
}

func newContentDigester(rawBytes int64) *contentDigester {
	pageCount := pagesOf(rawBytes)
	return &contentDigester{
		rawBytes: rawBytes, pageCount: pageCount, chunk: sha256.New(),
		chunks: make([]byte, 0, chunksOf(pageCount)*sha256.Size),
	}
}

// add appends the next page.
func (d *contentDigester) add(page Digest) {
	d.chunk.Write(page[:])
	d.nextPage++
	if d.nextPage%chunkPages == 0 || d.nextPage == d.pageCount {
		d.endChunk()
	}
}

func (d *contentDigester) endChunk() {
	d.chunks = d.chunk.Sum(d.chunks)
	d.chunk.Reset()
}

// addChunk appends a chunk whose digest is known, at the border of one.
func (d *contentDigester) addChunk(digest Digest) {
	d.chunks = append(d.chunks, digest[:]...)
	d.nextPage = min(d.nextPage+chunkPages, d.pageCount)
}

// addZeros appends zero pages up to, not including, page.
func (d *contentDigester) addZeros(page int64) {
	for d.nextPage < page {
		if d.nextPage%chunkPages == 0 && page-d.nextPage >= chunkPages {
			d.addChunk(zeroDigests().chunk)
			continue
		}
		d.add(zeroDigests().page)
	}
}

// sum returns the digest once all pages were added.
func (d *contentDigester) sum() Digest {
	d.addZeros(d.pageCount)
	return totalDigest(d.rawBytes, d.chunks)
}

// totalDigest is the digest of a content whose chunks have these digests.
func totalDigest(rawBytes int64, chunks []byte) Digest {
	h := sha256.New()
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(rawBytes))
	h.Write(size[:])
	h.Write(chunks)
	var sum Digest
	h.Sum(sum[:0])
	return sum
}

package store

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

// naiveDigest is the definition in docs/FORMAT.md written down once more: it
// knows no zero pages, no chunks that are known beforehand and no streaming.
func naiveDigest(raw []byte) Digest {
	total := binary.LittleEndian.AppendUint64(nil, uint64(len(raw)))
	for len(raw) > 0 {
		chunk := raw[:min(len(raw), 16<<20)]
		raw = raw[len(chunk):]
		var pages []byte
		for len(chunk) > 0 {
			var page [4096]byte
			chunk = chunk[copy(page[:], chunk):]
			digest := sha256.Sum256(page[:])
			pages = append(pages, digest[:]...)
		}
		digest := sha256.Sum256(pages)
		total = append(total, digest[:]...)
	}
	return sha256.Sum256(total)
}

// streamDigest feeds a digester as packing does.
func streamDigest(raw []byte, skipZeros bool) Digest {
	d := newContentDigester(int64(len(raw)))
	for page := range pagesOf(int64(len(raw))) {
		var b [PageBytes]byte
		copy(b[:], raw[page*PageBytes:])
		if skipZeros && isZero(b[:]) {
			continue
		}
		d.addZeros(page)
		d.add(pageDigest(b[:]))
	}
	return d.sum()
}

func TestDigestIsAsDefined(t *testing.T) {
	const chunk = chunkRawBytes
	for _, lenBytes := range []int{0, 1, 4095, 4096, 4097, 3*PageBytes + 7, chunk - 1, chunk, chunk + 1, 2*chunk + PageBytes} {
		for name, raw := range map[string][]byte{"zeros": make([]byte, lenBytes), "data": sparseBytes(lenBytes), "gap": gapBytes(lenBytes)} {
			want := naiveDigest(raw)
			wantEqual(t, name+" digest with zero pages given", streamDigest(raw, false), want)
			wantEqual(t, name+" digest with zero pages left out", streamDigest(raw, true), want)
		}
	}
}

// sparseBytes has a byte in about every third page, and in the last.
func sparseBytes(lenBytes int) []byte {
	raw := make([]byte, lenBytes)
	for i := 5; i < lenBytes; i += 3*PageBytes + 11 {
		raw[i] = byte(i) | 1
	}
	if lenBytes > 0 {
		raw[lenBytes-1] = 9
	}
	return raw
}

// gapBytes has a byte in the second page and one in the last: between them may
// lie whole chunks, and parts of chunks on both sides.
func gapBytes(lenBytes int) []byte {
	raw := make([]byte, lenBytes)
	for _, i := range []int{PageBytes, lenBytes - 1} {
		if i >= 0 && i < lenBytes {
			raw[i] = 7
		}
	}
	return raw
}

// TestDigestTellsApart checks that neither the size nor the place of a page is
// left out.
func TestDigestTellsApart(t *testing.T) {
	seen := make(map[Digest]int)
	page := make([]byte, PageBytes)
	page[0] = 1
	zero := make([]byte, PageBytes)
	contents := [][]byte{
		{}, {0}, zero, slices.Concat(zero, []byte{0}), page, slices.Concat(page, zero), slices.Concat(zero, page), page[:1],
	}
	for i, raw := range contents {
		d := streamDigest(raw, true)
		if other, found := seen[d]; found {
			t.Errorf("contents %d and %d have the same digest", other, i)
		}
		seen[d] = i
	}
}

package store

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// naiveSeek looks at the bytes themselves, page by page.
func naiveSeek(raw []byte, rawOff int64, data bool) int64 {
	for off := rawOff; off < int64(len(raw)); off = (off/PageBytes + 1) * PageBytes {
		page := raw[off/PageBytes*PageBytes:]
		if isZero(page[:min(PageBytes, len(page))]) != data {
			return off
		}
	}
	return int64(len(raw))
}

// chunkyMemory has zero pages, zero chunks and a partial last page.
func chunkyMemory(r *rand.Rand) []byte {
	raw := make([]byte, 4*chunkRawBytes+5*PageBytes+123)
	for _, chunk := range []int{0, 2, 4} {
		part := raw[chunk*chunkRawBytes : min(len(raw), (chunk+1)*chunkRawBytes)]
		for range 40 {
			page := r.IntN(int(pagesOf(int64(len(part)))))
			part[page*PageBytes] = byte(1 + r.IntN(255))
		}
	}
	return raw
}

func TestExtentsAgainstNaiveScan(t *testing.T) {
	r := seedtest.Rand(t)
	raw := chunkyMemory(r)
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecLZ4, Level: LevelFast})
	img := openImage(t, path)
	for i := range 500 {
		rawOff := r.Int64N(int64(len(raw)))
		if i%2 == 0 {
			rawOff &^= PageBytes - 1
		}
		wantSeek(t, img, raw, rawOff)
	}
	for _, rawOff := range []int64{0, chunkRawBytes - 1, chunkRawBytes, 2*chunkRawBytes - 1, int64(len(raw)) - 1, int64(len(raw))} {
		wantSeek(t, img, raw, rawOff)
	}
}

func wantSeek(t *testing.T, img *Image, raw []byte, rawOff int64) {
	t.Helper()
	data, err := img.NextData(rawOff)
	wantNoError(t, err)
	wantEqual(t, "next data", data, naiveSeek(raw, rawOff, true))
	hole, err := img.NextHole(rawOff)
	wantNoError(t, err)
	wantEqual(t, "next hole", hole, naiveSeek(raw, rawOff, false))
}

func TestExtentsOutsideTheFile(t *testing.T) {
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t)))
	for _, seek := range []func(int64) (int64, error){img.NextData, img.NextHole} {
		_, err := seek(-1)
		wantClass(t, err, ErrOption)
		for _, rawOff := range []int64{goldenRawBytes, goldenRawBytes + 1, 1 << 50} {
			off, err := seek(rawOff)
			wantNoError(t, err)
			wantEqual(t, "offset", off, goldenRawBytes)
		}
	}
}

func TestExtentsOfDamagedMap(t *testing.T) {
	image := goldenImage(t)
	sectionBytes(image, SectionPageMap)[0] ^= 1
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
	_, err := img.NextData(0)
	wantClass(t, err, ErrCorrupt)
	_, err = img.NextHole(0)
	wantClass(t, err, ErrCorrupt)
}

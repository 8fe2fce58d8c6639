package store

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// goldenImage returns the bytes of the golden image, for a test to spoil.
func goldenImage(tb testing.TB) []byte {
	tb.Helper()
	return parseAnnotated(tb, string(readFile(tb, goldenPath)))
}

func TestHeaderRoundTrip(t *testing.T) {
	image := goldenImage(t)
	h, err := parseHeader(image[:headerBytes], int64(len(image)))
	wantNoError(t, err)
	wantBytes(t, "header", h.encode(), image[:headerBytes])

	// every field, whether the golden image uses it or not
	full := *h
	full.Compat, full.ROCompat, full.CreatedAt = 1<<63, 1<<62, time.Unix(5, 6).UTC()
	full.ParentPages, full.DuplicatePages, full.ZeroPages = 7, 6, 5
	full.Parent = Identity{UUID: fixedUUID, Digest: pageDigest(nil)}
	got, err := parseHeader(full.encode(), full.FileBytes)
	wantNoError(t, err)
	if !reflect.DeepEqual(*got, full) {
		t.Fatalf("header is %+v, want %+v", *got, full)
	}
}

// spoiled is one way to make an image that must be refused.
type spoiled struct {
	name  string
	spoil func(image []byte)
	class error
}

func put32(off int, v uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[off:], v) }
}

func both(first, second func([]byte)) func([]byte) {
	return func(b []byte) {
		first(b)
		second(b)
	}
}

func put64(off int, v uint64) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint64(b[off:], v) }
}

// TestHeaderRefusals changes one field at a time and fits the checksums, so
// that the field's own check is the one that refuses.
func TestHeaderRefusals(t *testing.T) {
	size := uint64(len(goldenImage(t)))
	for _, c := range []spoiled{
		{"magic", func(b []byte) { b[3] ^= 1 }, ErrNotImage},
		{"magic as text", func(b []byte) { b[6] = '\n' }, ErrNotImage},
		{"version zero", put32(hdrVersion, 0), ErrVersion},
		{"version newer", put32(hdrVersion, FormatVersion+1), ErrVersion},
		{"header size", put32(hdrBytes, 8192), ErrCorrupt},
		{"page size", put32(hdrPageBytes, 16384), ErrFeature},
		{"parent without ancestors", put64(hdrIncompat, FeatureParent), ErrCorrupt},
		{"parent and unknown feature", put64(hdrIncompat, FeatureParent|1<<40), ErrFeature},
		{"too many ancestors", both(put64(hdrIncompat, FeatureParent), put64(hdrDepth, MaxDepth+1)), ErrLimit},
		{"too many inherited frames", both(put64(hdrIncompat, FeatureParent), put64(hdrInherited, 1<<29-1)), ErrCorrupt},
		{"unknown feature", put64(hdrIncompat, 1<<63), ErrFeature},
		{"image larger than file", put64(hdrFileBytes, size+1), ErrTruncated},
		{"image smaller than file", put64(hdrFileBytes, size-1), ErrCorrupt},
		{"raw size negative", put64(hdrRawBytes, 1<<63), ErrCorrupt},
		{"raw size beyond the limit", put64(hdrRawBytes, uint64(MaxRawBytes)+1), ErrCorrupt},
		{"slot bits", func(b []byte) { b[hdrSlotBits] = 7 }, ErrCorrupt},
		{"frame count negative", put64(hdrFrameCount, 1<<63), ErrCorrupt},
		{"more frames than pages", put64(hdrFrameCount, 9), ErrCorrupt},
		{"more hot frames than frames", put32(hdrHotFrames, 3), ErrCorrupt},
		{"frames elsewhere", put64(hdrFramesOff, 2*headerBytes), ErrCorrupt},
		{"frames negative", put64(hdrFramesBytes, 1<<63), ErrCorrupt},
		{"frames to the end of the file", put64(hdrFramesBytes, size-headerBytes), ErrCorrupt},
		{"more zero pages than pages", put64(hdrZeroPages, 9), ErrCorrupt},
		{"duplicate pages negative", put64(hdrDupPages, 1<<63), ErrCorrupt},
		{"more parent pages than pages", put64(hdrParentPages, 9), ErrCorrupt},
		{"too many sections", put32(hdrSections, maxSections+1), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := goldenImage(t)
			c.spoil(image)
			resealHeader(image)
			_, err := parseHeader(image[:headerBytes], int64(len(image)))
			wantClass(t, err, c.class)
			wantOpenRefuses(t, image, c.class)
		})
	}
}

// wantOpenRefuses checks that an image is refused by both ways to open it.
func wantOpenRefuses(t *testing.T, image []byte, class error) {
	t.Helper()
	path := writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image)
	img, err := Open(path, OpenOptions{})
	if err == nil {
		wantNoError(t, img.Close())
	}
	wantClass(t, err, class)
	var fe *FileError
	wantEqual(t, "error names the file", asFileError(err, &fe) && fe.Path == path, true)
	_, err = ReadHeader(path)
	wantClass(t, err, class)
}

// TestHeaderChecksumIsNeeded checks that no bit of the header may change.
func TestHeaderChecksumIsNeeded(t *testing.T) {
	image := goldenImage(t)
	for bit := range headerBytes * 8 {
		image[bit/8] ^= 1 << (bit % 8)
		if _, err := parseHeader(image[:headerBytes], int64(len(image))); err == nil {
			t.Fatalf("bit %d of the header was changed without notice", bit)
		}
		image[bit/8] ^= 1 << (bit % 8)
	}
}

// TestFrameCountLimits checks that frame numbers fit a page map entry beside
// their slots.
func TestFrameCountLimits(t *testing.T) {
	for slotBits := range uint8(7) {
		h := Header{RawBytes: MaxRawBytes, SlotBits: slotBits, FramesOff: headerBytes, FileBytes: maxPackedBytes}
		h.FrameCount = 1 << (30 - slotBits)
		wantNoError(t, h.checkCounts())
		h.FrameCount++
		wantClass(t, h.checkCounts(), ErrCorrupt)
	}
}

func TestSmallestImageSize(t *testing.T) {
	image := goldenImage(t)[:headerBytes+SlackBytes+trailerBytes-1]
	put64(hdrFileBytes, uint64(len(image)))(image)
	resealHeader(image)
	_, err := parseHeader(image[:headerBytes], int64(len(image)))
	wantClass(t, err, ErrCorrupt)
}

// TestCompatibleFlags checks that unknown flags of the two harmless classes
// are accepted, and kept.
func TestCompatibleFlags(t *testing.T) {
	image := goldenImage(t)
	put64(hdrCompat, 0xf00000000000000f)(image)
	put64(hdrROCompat, 1<<17)(image)
	resealHeader(image)
	path := writeFile(t, filepath.Join(t.TempDir(), "future.sabre"), image)
	wantContent(t, path, goldenMemory())
	h, err := ReadHeader(path)
	wantNoError(t, err)
	wantEqual(t, "compatible flags", h.Compat, 0xf00000000000000f)
	wantEqual(t, "read-only compatible flags", h.ROCompat, 1<<17)
}

func TestNotAnImage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"empty": {}, "short": []byte("\x89SAB"), "zeros": make([]byte, 3*headerBytes), "text": []byte("hello world\n"),
	} {
		_, err := Open(writeFile(t, filepath.Join(dir, name), content), OpenOptions{})
		wantClass(t, err, ErrNotImage)
	}
	_, err := Open(dir, OpenOptions{})
	wantClass(t, err, ErrNotImage)
	_, err = ReadHeader(dir)
	wantClass(t, err, ErrNotImage)
	for _, missing := range []string{filepath.Join(dir, "missing"), ""} {
		_, err = Open(missing, OpenOptions{})
		wantClass(t, err, os.ErrNotExist)
		_, err = ReadHeader(missing)
		wantClass(t, err, os.ErrNotExist)
	}
}

func TestTrailerRefusals(t *testing.T) {
	for _, c := range []spoiled{
		{"magic", func(trailer []byte) { trailer[0] ^= 1 }, ErrTruncated},
		{"size", func(trailer []byte) { trailer[8] ^= 1 }, ErrCorrupt},
		{"uuid", func(trailer []byte) { trailer[16] ^= 1 }, ErrCorrupt},
		{"header checksum", func(trailer []byte) { trailer[32] ^= 1 }, ErrCorrupt},
		{"reserved bytes", func(trailer []byte) { trailer[40] ^= 1 }, ErrCorrupt},
		{"checksum", func(trailer []byte) { trailer[60] ^= 1 }, ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := goldenImage(t)
			trailer := image[len(image)-trailerBytes:]
			c.spoil(trailer)
			if c.name != "checksum" {
				binary.LittleEndian.PutUint32(trailer[trailerBytes-4:], crc32.ChecksumIEEE(trailer[:trailerBytes-4]))
			}
			wantOpenRefuses(t, image, c.class)
		})
	}
}

// TestTrailerOfAnotherImage checks that the end of one image is not taken for
// that of another of the same size.
func TestTrailerOfAnotherImage(t *testing.T) {
	image, other := goldenImage(t), goldenImage(t)
	other[hdrUUID] ^= 1
	resealHeader(other)
	copy(image[len(image)-trailerBytes:], other[len(other)-trailerBytes:])
	wantOpenRefuses(t, image, ErrCorrupt)
}

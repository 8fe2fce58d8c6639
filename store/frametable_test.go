package store

import (
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// frameHeader is a header for frames of at most 64 pages in a large image.
func frameHeader() *Header {
	return &Header{SlotBits: 6, FramesOff: headerBytes, FramesBytes: maxPackedBytes - 1 - headerBytes}
}

func TestFrameEntryRoundTrip(t *testing.T) {
	h := frameHeader()
	for _, f := range []FrameEntry{
		{PackedOff: headerBytes, PackedLen: PageBytes, Codec: CodecRaw, Pages: 1, CRC32: 1},
		{PackedOff: maxPackedBytes - 1 - MaxFrameBytes, PackedLen: MaxFrameBytes, Codec: CodecRaw, Pages: 64, CRC32: 1<<32 - 1},
		{PackedOff: 0x123456789abc, PackedLen: 1, Codec: CodecDeflate, Pages: 4},
		{PackedOff: 1 << 40, PackedLen: MaxFrameBytes - 1, Codec: CodecZstd, Pages: 64},
		{PackedOff: headerBytes + 1, PackedLen: 77, Codec: CodecLZ4, Pages: 33, CRC32: 0x80000000},
	} {
		var b [frameEntryBytes]byte
		f.encode(b[:])
		got, err := decodeFrameEntry(b[:], h)
		wantNoError(t, err)
		wantEqual(t, "frame entry", got, f)
	}
}

func TestFrameEntryRefusals(t *testing.T) {
	good := FrameEntry{PackedOff: headerBytes, PackedLen: 100, Codec: CodecLZ4, Pages: 4}
	small := &Header{SlotBits: 2, FramesOff: headerBytes, FramesBytes: 100}
	for name, change := range map[string]func(f *FrameEntry){
		"no pages":                     func(f *FrameEntry) { f.Pages = 0 },
		"more pages than the image's":  func(f *FrameEntry) { f.Pages = 5 },
		"255 pages":                    func(f *FrameEntry) { f.Pages = 255 },
		"unknown codec":                func(f *FrameEntry) { f.Codec = maxCodec + 1 },
		"nothing packed":               func(f *FrameEntry) { f.PackedLen = 0 },
		"packed larger than raw":       func(f *FrameEntry) { f.PackedLen = f.RawBytes() + 1 },
		"packed as large as raw":       func(f *FrameEntry) { f.PackedLen = f.RawBytes() },
		"raw of another length":        func(f *FrameEntry) { f.Codec = CodecRaw },
		"before the frames":            func(f *FrameEntry) { f.PackedOff-- },
		"behind the frames":            func(f *FrameEntry) { f.PackedOff++ },
		"far behind the frames":        func(f *FrameEntry) { f.PackedOff = 1<<48 - 1 },
		"shared table without feature": func(f *FrameEntry) { f.Codec, f.SharedTable = CodecDeflate, 1 },
		"shared table of another codec": func(f *FrameEntry) {
			f.SharedTable = 64
		},
	} {
		f := good
		change(&f)
		var b [frameEntryBytes]byte
		f.encode(b[:])
		if _, err := decodeFrameEntry(b[:], small); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
	var b [frameEntryBytes]byte
	good.encode(b[:])
	_, err := decodeFrameEntry(b[:], small)
	wantNoError(t, err)
}

// TestUnknownSharedTable checks a frame that names a table which the image does
// not have.
func TestUnknownSharedTable(t *testing.T) {
	h := frameHeader()
	h.Incompat = FeatureSharedTables
	want := FrameEntry{PackedOff: headerBytes, PackedLen: 9, Codec: CodecDeflate, Pages: 1, SharedTable: 64}
	var b [frameEntryBytes]byte
	want.encode(b[:])
	got, err := decodeFrameEntry(b[:], h)
	wantNoError(t, err)
	wantEqual(t, "frame entry", got, want)

	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), goldenImage(t)))
	wantClass(t, img.ReadFrame(t.Context(), got, make([]byte, PageBytes)), ErrCorrupt)
}

// TestFrameChecksum changes raw bytes of a frame: nothing but its checksum can
// tell.
func TestFrameChecksum(t *testing.T) {
	image := goldenImage(t)
	image[headerBytes+5000] ^= 4
	img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
	got := make([]byte, PageBytes)
	cache := newCache(t, 1<<20)
	for _, damaged := range []int64{0, 2 * PageBytes, 3 * PageBytes} {
		_, err := cache.ReadAt(t.Context(), img, got, damaged)
		wantClass(t, err, ErrCorrupt)
	}
	for _, intact := range []int64{PageBytes, 5 * PageBytes} {
		_, err := cache.ReadAt(t.Context(), img, got, intact)
		wantNoError(t, err)
		wantBytes(t, "intact page", got, goldenMemory()[intact:][:PageBytes])
	}
}

// TestSlotBehindTheFrame makes a short frame of which pages name more slots
// than it has.
func TestSlotBehindTheFrame(t *testing.T) {
	raw := guestMemory(seedtest.Fixed(3), 3*PageBytes)
	for i := range raw {
		raw[i] |= 1
	}
	path, _ := packBytes(t, raw, PackOptions{Raw: true, FramePages: 4})
	image := readFile(t, path)
	put32(0, 1<<30|3)(sectionBytes(image, SectionPageMap))
	reseal(image)
	img := openImage(t, writeFile(t, path+".bad", image))
	_, err := readAll(img)
	wantClass(t, err, ErrCorrupt)
	_, err = img.Verify(t.Context(), nil)
	wantClass(t, err, ErrCorrupt)
}

// TestFrameTableBlocks damages an entry in a way that only the checksum of its
// block can tell, and checks that exactly the entries of the block are refused.
func TestFrameTableBlocks(t *testing.T) {
	path, result := packBytes(t, textMemory(2*blockFrames+10), PackOptions{Codec: CodecLZ4, Level: LevelFast, FramePages: 1})
	wantEqual(t, "frames", result.Frames, 2*blockFrames+10)
	image := readFile(t, path)
	sectionBytes(image, SectionFrameTable)[(blockFrames+7)*frameEntryBytes+12] ^= 1 // raw_crc32
	img := openImage(t, writeFile(t, path+".bad", image))
	for frame := range uint32(2*blockFrames + 10) {
		_, err := img.Frame(frame)
		if frame/blockFrames == 1 {
			wantClass(t, err, ErrCorrupt)
		} else {
			wantNoError(t, err)
		}
	}
}

package store

import (
	"context"
	"path/filepath"
	"testing"

	"sabrefs/iaa"
)

// TestSharedTablesInUse packs pages that resemble each other: they share tables,
// the image is smaller for it, and every way of reading it gives the same bytes.
func TestSharedTablesInUse(t *testing.T) {
	raw := frameOf(7, 400)
	opt := PackOptions{Codec: CodecDeflate, FramePages: 1, Engine: iaa.Software()}
	path, result := packBytes(t, raw, opt)
	opt.SharedTables = NoSharedTables
	_, without := packBytes(t, raw, opt)
	wantEqual(t, "frames that share without tables", without.SharedTableFrames, 0)
	if result.SharedTableFrames < result.Frames/2 || result.PackedBytes >= without.PackedBytes {
		t.Fatalf("%d of %d frames share tables, %d bytes, %d without", result.SharedTableFrames, result.Frames,
			result.PackedBytes, without.PackedBytes)
	}
	img := openImage(t, path)
	wantEqual(t, "features", img.Header().Incompat, FeatureSharedTables)
	tables, err := img.SharedTables()
	wantNoError(t, err)
	wantEqual(t, "tables", len(tables), defaultSharedTables)
	wantContent(t, path, raw)
	verified, err := img.Verify(t.Context(), nil)
	wantNoError(t, err)
	wantEqual(t, "frames for an accelerator", verified.AcceleratorFrames, verified.DeflateFrames)
}

// TestSharedTablesDefault checks for which frames tables are shared unasked.
func TestSharedTablesDefault(t *testing.T) {
	for pages, want := range map[int]int{1: defaultSharedTables, 2: 0, 4: 0} {
		opt := PackOptions{Codec: CodecDeflate, FramePages: pages}
		wantNoError(t, opt.normalise())
		wantEqual(t, "tables", max(0, opt.SharedTables), want)
	}
	for _, opt := range []PackOptions{
		{Codec: CodecDeflate, SharedTables: MaxSharedTables + 1},
		{Codec: CodecDeflate, SharedTables: NoSharedTables - 1},
		{Codec: CodecZstd, SharedTables: 1},
	} {
		wantClass(t, opt.normalise(), ErrOption)
	}
}

// TestSharedTableOutOfRange changes the frame table so that a frame names a table
// which is not there, or another one: the checksum of the block finds either, and
// without it, the number does, or the frame's own checksum.
func TestSharedTableOutOfRange(t *testing.T) {
	raw := frameOf(8, 200)
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecDeflate, FramePages: 1, Engine: iaa.Software()})
	img := openImage(t, path)
	tables, err := img.SharedTables()
	wantNoError(t, err)
	seen := 0
	for frame := range img.Header().FrameCount {
		entry, err := img.Frame(uint32(frame))
		wantNoError(t, err)
		if entry.SharedTable == 0 {
			continue
		}
		seen++
		right := entry.SharedTable
		for _, wrong := range []uint8{0, right%uint8(len(tables)) + 1, uint8(len(tables)) + 1, MaxSharedTables} {
			entry.SharedTable = wrong
			wantClass(t, img.ReadFrame(t.Context(), entry, make([]byte, PageBytes)), ErrCorrupt)
		}
	}
	if seen == 0 {
		t.Fatal("no frame shares a table")
	}
}

// TestTrainingStops checks that packing can be interrupted while it trains.
func TestTrainingStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), frameOf(9, 100))
	_, err := PackFile(ctx, src, filepath.Join(dir, "image.sabre"), PackOptions{Codec: CodecDeflate, FramePages: 1})
	wantClass(t, err, context.Canceled)
	wantNames(t, dir, "mem_file")
}

// TestTrainingWithoutData packs what has no page to train with.
func TestTrainingWithoutData(t *testing.T) {
	for name, raw := range map[string][]byte{"empty": {}, "zeros": make([]byte, 64*PageBytes), "a byte": {1}} {
		path, result := packBytes(t, raw, PackOptions{Codec: CodecDeflate, FramePages: 1})
		wantEqual(t, name+": frames that share tables", result.SharedTableFrames, 0)
		wantContent(t, path, raw)
	}
}

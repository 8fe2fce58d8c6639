package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sabrefs/store"
)

func TestPackAndUnpackFile(t *testing.T) {
	dir := realTempDir(t)
	memory := guestMemory(samplePages)
	source := writeFile(t, filepath.Join(dir, "mem_file"), memory)
	image, raw := filepath.Join(dir, "a.sabre"), filepath.Join(dir, "raw")
	if said := sabrefs(t, "pack", source, image); !strings.HasPrefix(said, image+": ") || strings.Count(said, "\n") != 1 {
		t.Errorf("pack said %q", said)
	}
	if said := sabrefs(t, "unpack", image, raw); !strings.HasPrefix(said, raw+": ") || strings.Count(said, "\n") != 1 {
		t.Errorf("unpack said %q", said)
	}
	wantContent(t, raw, memory)
	info, err := os.Stat(raw)
	noError(t, err)
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no number of blocks")
	}
	// filesystems count a few blocks of their own
	const blockBytes, zeroPages = 512, samplePages * 3 / 8
	if got, most := stat.Blocks*blockBytes, int64(len(memory)-zeroPages/2*store.PageBytes); got > most {
		t.Errorf("the file that was unpacked takes %d bytes of the disk, at most %d expected: zero pages are no holes", got, most)
	}
}

func TestPackIntoDirectory(t *testing.T) {
	dir := realTempDir(t)
	memory := guestMemory(8)
	source := writeFile(t, filepath.Join(dir, "mem_file"), memory)
	out := makeDir(t, filepath.Join(dir, "out"))
	sabrefs(t, "pack", source, out)
	wantNames(t, out, "mem_file.sabre")
	sabrefs(t, "unpack", filepath.Join(out, "mem_file.sabre"), out)
	wantNames(t, out, "mem_file", "mem_file.sabre")
	wantContent(t, filepath.Join(out, "mem_file"), memory)
}

func TestPackAndUnpackSnapshot(t *testing.T) {
	dir := realTempDir(t)
	snapshot, packed, unpacked := filepath.Join(dir, "snapshot"), filepath.Join(dir, "packed"), filepath.Join(dir, "unpacked")
	memory := writeSnapshot(t, snapshot)
	writeFile(t, filepath.Join(makeDir(t, filepath.Join(snapshot, "disks")), "memory.bin"), memory)
	noError(t, syscall.Mkfifo(filepath.Join(snapshot, "console"), 0o600))
	said := sabrefs(t, "pack", snapshot, packed)
	for _, want := range []string{packed + "/mem_file", packed + "/disks/memory.bin", "console: left out", "1 other files copied"} {
		if !strings.Contains(said, want) {
			t.Errorf("pack does not mention %q: %s", want, said)
		}
	}
	wantNames(t, packed, "disks", "mem_file.sabre", "snapshot_file")
	wantNames(t, filepath.Join(packed, "disks"), "memory.bin.sabre")
	sabrefs(t, "unpack", packed, unpacked)
	wantNames(t, unpacked, "disks", "mem_file", "snapshot_file")
	wantContent(t, filepath.Join(unpacked, "mem_file"), memory)
	wantContent(t, filepath.Join(unpacked, "disks", "memory.bin"), memory)
	wantContent(t, filepath.Join(unpacked, "snapshot_file"), []byte("state of the devices"))
}

// TestPackThroughLinks: directories may be given by symbolic links.
func TestPackThroughLinks(t *testing.T) {
	dir := realTempDir(t)
	memory := writeSnapshot(t, filepath.Join(dir, "snapshot"))
	link := func(name string) string {
		noError(t, os.Symlink(name, filepath.Join(dir, name+"-link")))
		return filepath.Join(dir, name+"-link")
	}
	sabrefs(t, "pack", link("snapshot"), filepath.Join(dir, "packed"))
	packed := link("packed")
	for _, args := range [][]string{{"verify", packed}, {"ls", packed}, {"inspect", packed}} {
		if said := sabrefs(t, args...); !strings.Contains(said, "mem_file") {
			t.Errorf("%v does not show the image: %s", args, said)
		}
	}
	sabrefs(t, "unpack", packed, filepath.Join(dir, "unpacked"))
	wantContent(t, filepath.Join(dir, "unpacked", "mem_file"), memory)
}

func TestPackForce(t *testing.T) {
	dir := realTempDir(t)
	first, second := guestMemory(8), textMemory(9)
	source := filepath.Join(makeDir(t, filepath.Join(dir, "snapshot")), "mem_file")
	for _, src := range []string{source, filepath.Dir(source)} {
		target, raw := filepath.Join(dir, "target"), filepath.Join(dir, "raw")
		writeFile(t, source, first)
		sabrefs(t, "pack", src, target)
		writeFile(t, source, second)
		refused(t, exitExists, []string{"pack", src, target}, target)
		sabrefs(t, "pack", "--force", src, target)
		writeFile(t, filepath.Join(makeDir(t, raw), "old"), nil)
		image := target
		if src != source {
			image = filepath.Join(target, "mem_file.sabre")
			refused(t, exitExists, []string{"unpack", target, raw}, raw)
			sabrefs(t, "unpack", "--force", target, raw)
			wantNames(t, raw, "mem_file")
		}
		memory := filepath.Join(dir, "memory")
		writeFile(t, memory, first)
		refused(t, exitExists, []string{"unpack", image, memory}, memory)
		wantContent(t, memory, first)
		sabrefs(t, "unpack", "--force", image, memory)
		wantContent(t, memory, second)
		noError(t, os.RemoveAll(target))
		noError(t, os.RemoveAll(raw))
	}
}

func TestPackMemoryPatterns(t *testing.T) {
	dir := realTempDir(t)
	snapshot := makeDir(t, filepath.Join(dir, "snapshot"))
	for _, name := range []string{"ram-0.img", "ram-1.img", "dump.core", "disk.img", "mem"} {
		writeFile(t, filepath.Join(snapshot, name), guestMemory(8))
	}
	sabrefs(t, "pack", "--memory", "ram-*.img", "--memory", "*.core", snapshot, filepath.Join(dir, "packed"))
	wantNames(t, filepath.Join(dir, "packed"), "disk.img", "dump.core.sabre", "mem.sabre", "ram-0.img.sabre", "ram-1.img.sabre")
}

// TestPackMatrix packs with every codec and level, in frames of some size, and
// compares what comes back.
func TestPackMatrix(t *testing.T) {
	dir := realTempDir(t)
	memory := guestMemory(64)
	source := writeFile(t, filepath.Join(dir, "mem_file"), memory)
	image, raw := filepath.Join(dir, "image"), filepath.Join(dir, "raw")
	sizes := []string{"4K", "65536", "256KiB"}
	for i, codec := range []string{"auto", "zstd", "lz4", "deflate", "raw"} {
		for j, level := range []string{"fast", "default", "better", "best"} {
			size := sizes[(i+j)%len(sizes)]
			said := sabrefs(t, "pack", "--json", "--force", "--codec", codec, "--level", level, "--frame-size", size, source, image)
			row := decodeJSON[packRow](t, said)
			var frameSize byteSize
			noError(t, frameSize.Set(size))
			if row.FrameBytes != int(frameSize) || row.Level != level || codec != "auto" && row.Codec != codec {
				t.Errorf("--codec %s --level %s --frame-size %s: packed with %+v", codec, level, size, row)
			}
			sabrefs(t, "unpack", "--force", image, raw)
			wantContent(t, raw, memory)
		}
	}
}

// TestPackWorkers: the image does not depend on the number of cores, but for
// its identity.
func TestPackWorkers(t *testing.T) {
	dir := realTempDir(t)
	source := writeFile(t, filepath.Join(dir, "mem_file"), guestMemory(samplePages))
	var frames [][]byte
	for _, workers := range []string{"1", "3"} {
		image := filepath.Join(dir, "image"+workers)
		sabrefs(t, "pack", "--workers", workers, source, image)
		frames = append(frames, readFile(t, image)[headerBytes:headerBytes+40*store.PageBytes])
	}
	if !bytes.Equal(frames[0], frames[1]) {
		t.Error("one worker packs other frames than three")
	}
}

func TestPackRefusesValues(t *testing.T) {
	dir := realTempDir(t)
	source := writeFile(t, filepath.Join(dir, "mem_file"), guestMemory(8))
	for _, flags := range [][]string{
		{"--codec", "gzip"},
		{"--codec", ""},
		{"--codec", "codec-1"},
		{"--level", "9"},
		{"--level", ""},
		{"--frame-size", "12K"},
		{"--frame-size", "4095"},
		{"--frame-size", "1K"},
		{"--frame-size", "512K"},
		{"--frame-size", "-4K"},
		{"--frame-size", "1e30"},
		{"--frame-size", "9999999999999G"},
		{"--frame-size", "many"},
		{"--hot-codec", "gzip"},
		{"--hot-codec", ""},
		{"--hot-frame-size", "12K"},
		{"--hot-frame-size", "512K"},
		{"--workers", "-1"},
		{"--workers", "1000000"},
		{"--workers", "two"},
		{"--memory", "["},
		{"--nonsense"},
		{"--force=perhaps", "--json"},
	} {
		args := append(append([]string{"pack"}, flags...), source, filepath.Join(dir, "image"))
		refused(t, exitUsage, args, strings.TrimLeft(strings.TrimSuffix(flags[0], "=perhaps"), "-"))
	}
	wantNames(t, dir, "mem_file")
}

// keysOf decodes an object to see what a script sees.
func keysOf(t *testing.T, text string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(decodeJSON[map[string]any](t, text)))
}

// packKeys are the names of what pack says of an image.
var packKeys = []string{
	"codec", "copied_frames", "depth", "digest", "duplicate_pages", "frame_bytes", "frames", "hot_codec", "hot_frame_bytes", "hot_frames",
	"hot_packed_bytes", "hot_pages", "level", "mb_per_s", "packed_bytes", "pages", "parent_pages", "path", "ratio", "raw_bytes", "raw_frames",
	"seconds", "shared_table_frames", "stored_pages", "uuid", "working_set_pages", "zero_pages",
}

// TestPackJSON fixes the names, which are an interface.
func TestPackJSON(t *testing.T) {
	dir := realTempDir(t)
	memory := writeSnapshot(t, filepath.Join(dir, "snapshot"))
	image, packed := filepath.Join(dir, "image"), filepath.Join(dir, "packed")
	said := sabrefs(t, "pack", "--json", filepath.Join(dir, "snapshot", "mem_file"), image)
	if got := keysOf(t, said); !slices.Equal(got, packKeys) {
		t.Errorf("pack --json of a file has %q, want %q", got, packKeys)
	}
	row := decodeJSON[packRow](t, said)
	info, err := os.Stat(image)
	noError(t, err)
	if row.Path != image || row.RawBytes != int64(len(memory)) || row.PackedBytes != info.Size() || row.PageCount != samplePages ||
		row.ZeroPages+row.DuplicatePages+row.StoredPages != samplePages || row.ZeroPages == 0 || row.DuplicatePages == 0 {
		t.Errorf("pack --json of a file says %+v", row)
	}
	said = sabrefs(t, "pack", "--json", filepath.Join(dir, "snapshot"), packed)
	snapshot := decodeJSON[snapshotRow](t, said)
	if snapshot.Path != packed || len(snapshot.Images) != 1 || snapshot.RawBytes != row.RawBytes || snapshot.CopiedFiles != 1 ||
		!strings.Contains(said, `"skipped": []`) {
		t.Errorf("pack --json of a directory says %s", said)
	}
	wantSnapshotPaths(t, packed, snapshot)
	unpacked := filepath.Join(dir, "unpacked")
	result := decodeJSON[snapshotUnpackRow](t, sabrefs(t, "unpack", "--json", packed, unpacked))
	if result.Path != unpacked || len(result.Files) != 1 || result.Files[0].Path != filepath.Join(unpacked, "mem_file") ||
		result.Files[0].Digest != row.Digest || result.CopiedFiles != 1 {
		t.Errorf("unpack --json of a directory says %+v", result)
	}
	raw := filepath.Join(dir, "raw")
	if file := decodeJSON[unpackRow](t, sabrefs(t, "unpack", "--json", image, raw)); file.Path != raw || file.UUID != row.UUID.String() ||
		file.RawBytes != row.RawBytes || file.PackedBytes != row.PackedBytes || file.Digest != row.Digest {
		t.Errorf("unpack --json of a file says %+v, pack said %+v", file, row)
	}
}

// wantSnapshotPaths fails if the result names an image that is not there.
func wantSnapshotPaths(t *testing.T, dir string, row snapshotRow) {
	t.Helper()
	for _, image := range row.Images {
		if _, err := os.Stat(image.Path); err != nil {
			t.Errorf("the result of packing to %s names a file that is not there: %v", dir, err)
		}
	}
}

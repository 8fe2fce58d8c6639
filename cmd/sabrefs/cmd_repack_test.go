package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// recordedPages are touched in this order; some are zero, and 20 and 22 are
// near enough for the page between them to be taken along.
var recordedPages = []uint32{90, 91, 20, 22, 3, 0, samplePages - 1}

// recordTrace makes a trace of an image, as if its guest had touched these pages.
func recordTrace(t *testing.T, path, image string, pages ...uint32) string {
	t.Helper()
	header, err := store.ReadHeader(image)
	noError(t, err)
	trace := prefetch.Trace{Image: header.Identity, RawBytes: header.RawBytes, Runs: 1}
	for i, page := range pages {
		trace.Touches = append(trace.Touches, prefetch.Touch{Page: page, AtMicros: uint32(i), Runs: 1})
	}
	makeDir(t, filepath.Dir(path))
	noError(t, trace.WriteFile(path))
	return path
}

// wantLaidOut fails if the image does not hold the memory, or not begin with the
// pages.
func wantLaidOut(t *testing.T, image string, memory []byte, pages []uint32) {
	t.Helper()
	raw := filepath.Join(realTempDir(t), "raw")
	sabrefs(t, "unpack", image, raw)
	wantContent(t, raw, memory)
	sabrefs(t, "verify", image)
	img, err := store.Open(image, store.OpenOptions{})
	noError(t, err)
	defer img.Close()
	runs, err := img.WorkingSet()
	noError(t, err)
	var got []uint32
	for _, run := range runs {
		for page := range run.PageCount {
			got = append(got, run.FirstPage+page)
		}
	}
	if !slices.Equal(got, pages) {
		t.Errorf("%s has the working set %d, want %d", image, got, pages)
	}
	var ref [1]store.PageRef
	for _, page := range pages {
		noError(t, img.Pages(int64(page), ref[:]))
		if ref[0].Kind == store.PageInFrame && int64(ref[0].Frame) >= img.Header().HotFrames {
			t.Errorf("page %d is in frame %d, not in the first %d", page, ref[0].Frame, img.Header().HotFrames)
		}
	}
}

func TestRepackImage(t *testing.T) {
	image, memory := packedImage(t)
	trace := recordTrace(t, filepath.Join(realTempDir(t), "any.ws"), image, recordedPages...)
	said := sabrefs(t, "repack", "--working-set", trace, image)
	for _, want := range []string{image + ": ", fmt.Sprintf("working set of %d pages", len(recordedPages)), "frames as they were"} {
		if !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
			t.Errorf("repack does not mention %q in one line: %s", want, said)
		}
	}
	wantLaidOut(t, image, memory, recordedPages)
	shown := sabrefs(t, "inspect", image)
	if !strings.Contains(shown, fmt.Sprintf("%d pages in", len(recordedPages))) {
		t.Errorf("inspect does not show the working set:\n%s", shown)
	}
	report := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", image))
	if report.HotFrames == 0 || report.HotCodecs["lz4"].Frames+report.HotCodecs["deflate"].Frames+report.HotCodecs["raw"].Frames != report.HotFrames ||
		report.WorkingSetPages != int64(len(recordedPages)) || report.WorkingSetRuns != len(recordedPages)-1 {
		t.Errorf("inspect --json says %+v", report)
	}

	sabrefs(t, "repack", "--hot-codec", "zstd", "--hot-frame-size", "4K", image) // keeps the working set
	wantLaidOut(t, image, memory, recordedPages)
	again := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", image))
	if again.Digest != report.Digest || again.UUID == report.UUID || again.HotCodecs["zstd"].Frames == 0 {
		t.Errorf("written anew, the image is %+v, before it was %+v", again, report)
	}
	sabrefs(t, "repack", "--no-working-set", "--codec", "lz4", "--frame-size", "16K", image)
	wantLaidOut(t, image, memory, nil)
	last := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", image))
	if last.HotFrames != 0 || last.Codecs["zstd"].Frames != 0 || last.MaxFrameBytes != 16<<10 {
		t.Errorf("without a working set, the image is %+v", last)
	}
	wantNames(t, filepath.Dir(image), "mem_file", "mem_file.sabre")
}

// TestRepackStore: every image that has a trace is laid out, the others are left
// as they are, and listed.
func TestRepackStore(t *testing.T) {
	storeDir, memory := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	other := writeFile(t, filepath.Join(storeDir, "other.sabre"), readFile(t, guest))
	left := readFile(t, other)
	recorded := realTempDir(t)
	recordTrace(t, filepath.Join(recorded, "guest", "mem_file.ws"), guest, recordedPages...)
	said := sabrefs(t, "repack", "--working-set", recorded, storeDir)
	if !strings.Contains(said, guest+": ") || !strings.Contains(said, other+": left alone") {
		t.Errorf("repack says %s", said)
	}
	wantLaidOut(t, guest, memory, recordedPages)
	wantContent(t, other, left)

	// the path of an image says where its trace is, too
	recordTrace(t, filepath.Join(recorded, "guest", "mem_file.ws"), guest, 7, 8)
	sabrefs(t, "repack", "--working-set", recorded, guest)
	wantLaidOut(t, guest, memory, []uint32{7, 8})

	sabrefs(t, "repack", storeDir) // without a trace: all of them
	wantLaidOut(t, guest, memory, []uint32{7, 8})
	wantLaidOut(t, other, memory, nil)
	sabrefs(t, "repack", "--no-working-set", storeDir)
	wantLaidOut(t, guest, memory, nil)
}

// TestRepackOneTraceForDirectory: a trace file is enough for the only image of a
// directory, and not for one of several.
func TestRepackOneTraceForDirectory(t *testing.T) {
	storeDir, memory := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	trace := recordTrace(t, filepath.Join(realTempDir(t), "any.ws"), guest, 5, 4)
	sabrefs(t, "repack", "--working-set", trace, storeDir)
	wantLaidOut(t, guest, memory, []uint32{5, 4})
	writeFile(t, filepath.Join(storeDir, "other.sabre"), readFile(t, guest))
	refused(t, exitUsage, []string{"repack", "--working-set", trace, storeDir}, "2 images", trace)
}

// TestRepackJSON fixes the names, which are an interface.
func TestRepackJSON(t *testing.T) {
	storeDir, _ := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	writeFile(t, filepath.Join(storeDir, "other.sabre"), readFile(t, guest))
	recorded := realTempDir(t)
	recordTrace(t, filepath.Join(recorded, "guest", "mem_file.ws"), guest, recordedPages...)
	type result struct {
		Images    []repackRow `json:"images"`
		LeftAlone []string    `json:"left_alone"`
	}
	before := int64(len(readFile(t, guest)))
	got := decodeJSON[result](t, sabrefs(t, "repack", "--json", "--working-set", recorded, storeDir))
	if len(got.Images) != 1 || !slices.Equal(got.LeftAlone, []string{filepath.Join(storeDir, "other.sabre")}) {
		t.Fatalf("repack --json says %+v", got)
	}
	row := got.Images[0]
	if row.Path != guest || row.OldPackedBytes != before || row.PackedBytes != int64(len(readFile(t, guest))) ||
		row.WorkingSetPages != int64(len(recordedPages)) || row.HotFrames == 0 || row.HotPackedBytes == 0 || row.HotCodec == "" {
		t.Errorf("repack --json says %+v", row)
	}
	said := sabrefs(t, "repack", "--json", guest)
	want := append(slices.Clone(packKeys), "old_packed_bytes")
	slices.Sort(want)
	if keys := keysOf(t, said); !slices.Equal(keys, want) {
		t.Errorf("repack --json of an image has %q, want %q", keys, want)
	}
	if said := sabrefs(t, "repack", "--json", storeDir); !strings.Contains(said, `"left_alone": []`) {
		t.Errorf("repack --json of everything says %s", said)
	}
}

// badTraces are traces that must not be used, with the class and the words of
// what is said.
func badTraces(t *testing.T, image string) map[string]struct {
	trace string
	code  int
	words []string
} {
	t.Helper()
	dir := realTempDir(t)
	otherImage := filepath.Join(dir, "other.sabre")
	sabrefs(t, "pack", writeFile(t, filepath.Join(dir, "other"), textMemory(samplePages)), otherImage)
	write := func(name string, b []byte) string { return writeFile(t, filepath.Join(dir, name), b) }
	good := readFile(t, recordTrace(t, filepath.Join(dir, "good.ws"), image, recordedPages...))
	flipped := slices.Clone(good)
	flipped[len(flipped)-20] ^= 1
	beyond := filepath.Join(dir, "beyond.ws")
	trace := prefetch.Trace{RawBytes: 1 << 30, Runs: 1, Touches: []prefetch.Touch{{Page: samplePages, Runs: 1}}}
	header, err := store.ReadHeader(image)
	noError(t, err)
	trace.Image = header.Identity
	noError(t, trace.WriteFile(beyond))
	return map[string]struct {
		trace string
		code  int
		words []string
	}{
		"of other memory": {recordTrace(t, filepath.Join(dir, "other.ws"), otherImage, 1, 2), exitParent, []string{"another image"}},
		"out of range":    {beyond, exitParent, []string{"another image"}},
		"truncated":       {write("cut.ws", good[:len(good)-7]), exitDamaged, []string{"cut.ws", "at offset"}},
		"flipped":         {write("flipped.ws", flipped), exitDamaged, []string{"flipped.ws"}},
		"empty":           {write("empty.ws", nil), exitDamaged, []string{"empty.ws"}},
		"an image":        {image, exitDamaged, []string{image}},
		"missing":         {filepath.Join(dir, "missing.ws"), exitNotFound, []string{"missing.ws"}},
		"a directory":     {makeDir(t, filepath.Join(dir, "traces")), exitNotFound, []string{"traces", "no trace"}},
	}
}

// TestRepackRefusesTraces: nothing is written.
func TestRepackRefusesTraces(t *testing.T) {
	image, _ := packedImage(t)
	before := readFile(t, image)
	for name, bad := range badTraces(t, image) {
		t.Run(name, func(t *testing.T) {
			refused(t, bad.code, []string{"repack", "--working-set", bad.trace, image}, bad.words...)
			refused(t, bad.code, []string{"repack", "--working-set", bad.trace, filepath.Dir(image)}, bad.words...)
			wantContent(t, image, before)
		})
	}
	wantNames(t, filepath.Dir(image), "mem_file", "mem_file.sabre")
}

// TestRepackOneBadTrace: if one of the traces is bad, no image is written.
func TestRepackOneBadTrace(t *testing.T) {
	storeDir, _ := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	other := writeFile(t, filepath.Join(storeDir, "zz.sabre"), readFile(t, guest))
	before, recorded := readFile(t, guest), realTempDir(t)
	recordTrace(t, filepath.Join(recorded, "guest", "mem_file.ws"), guest, recordedPages...)
	writeFile(t, filepath.Join(recorded, "zz.ws"), []byte("no trace"))
	refused(t, exitDamaged, []string{"repack", "--working-set", recorded, storeDir}, "zz.ws")
	wantContent(t, guest, before)
	wantContent(t, other, before)
}

func TestRepackRefuses(t *testing.T) {
	image, _ := packedImage(t)
	trace := recordTrace(t, filepath.Join(realTempDir(t), "any.ws"), image, 1)
	missing := filepath.Join(filepath.Dir(image), "missing")
	before := readFile(t, image)
	for _, c := range []struct {
		code int
		args []string
		word string
	}{
		{exitNotFound, []string{missing}, missing},
		{exitDamaged, []string{trace}, trace},
		{exitDamaged, []string{realTempDir(t)}, store.ImageSuffix},
		{exitUsage, []string{"--working-set", trace, "--no-working-set", image}, "exclude"},
		{exitUsage, []string{"--codec", "gzip", image}, "gzip"},
		{exitUsage, []string{"--hot-codec", "keep", image}, "--hot-codec"},
		{exitUsage, []string{"--hot-frame-size", "12K", image}, "--hot-frame-size"},
		{exitUsage, []string{"--frame-size", "512K", image}, "--frame-size"},
		{exitUsage, []string{"--level", "9", image}, "level"},
		{exitUsage, []string{"--workers", "-1", image}, "workers"},
		{exitUsage, []string{}, "repack STORE|IMAGE"},
	} {
		refused(t, c.code, append([]string{"repack"}, c.args...), c.word)
	}
	wantContent(t, image, before)
}

func TestRepackBadImages(t *testing.T) {
	good, _ := packedImage(t)
	trace := recordTrace(t, filepath.Join(realTempDir(t), "any.ws"), good, recordedPages...)
	for _, bad := range badImages() {
		t.Run(bad.name, func(t *testing.T) {
			image := writeFile(t, filepath.Join(realTempDir(t), "bad.sabre"), readFile(t, good))
			bad.spoil(t, image)
			before := readFile(t, image)
			for _, flags := range [][]string{nil, {"--working-set", trace}, {"--codec", "lz4"}} {
				refused(t, bad.code, append(append([]string{"repack"}, flags...), image), bad.words...)
				wantContent(t, image, before)
			}
			wantNames(t, filepath.Dir(image), "bad.sabre")
		})
	}
}

// TestRepackStopped kills and interrupts repacks that have begun: the old image
// stands.
func TestRepackStopped(t *testing.T) {
	dir := realTempDir(t)
	image := filepath.Join(makeDir(t, filepath.Join(dir, "store")), "mem_file.sabre")
	sabrefs(t, "pack", "--level", "fast", writeFile(t, filepath.Join(dir, "mem_file"), textMemory(4096)), image)
	before := readFile(t, image)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		o := interrupt(t, command(t, "repack", "--codec", "zstd", "--level", "best", "--workers", "1", image), image, sig)
		if sig != syscall.SIGKILL {
			o.check(t, exitInterrupted, "interrupted")
		} else if o.code != -1 {
			t.Errorf("%s: exit code %d, though it was killed", o.line, o.code)
		}
		wantContent(t, image, before)
		wantNames(t, filepath.Dir(image), "mem_file.sabre")
	}
}

func TestPackWorkingSet(t *testing.T) {
	image, memory := packedImage(t)
	dir := realTempDir(t)
	trace := recordTrace(t, filepath.Join(dir, "traces", "mem_file.ws"), image, recordedPages...)
	source := filepath.Join(filepath.Dir(image), "mem_file")
	for i, path := range []string{trace, filepath.Dir(trace)} {
		out := filepath.Join(dir, fmt.Sprint(i))
		said := sabrefs(t, "pack", "--working-set", path, "--hot-codec", "deflate", "--hot-frame-size", "8K", source, out)
		if !strings.Contains(said, fmt.Sprintf("working set of %d pages", len(recordedPages))) || !strings.Contains(said, "deflate") {
			t.Errorf("pack says %s", said)
		}
		wantLaidOut(t, out, memory, recordedPages)
	}
}

// TestPackWorkingSetDirectory: of two memory files, one has a trace.
func TestPackWorkingSetDirectory(t *testing.T) {
	dir := realTempDir(t)
	snapshot, packed, recorded := filepath.Join(dir, "snapshot"), filepath.Join(dir, "packed"), makeDir(t, filepath.Join(dir, "traces"))
	memory := writeSnapshot(t, snapshot)
	other := writeFile(t, filepath.Join(makeDir(t, filepath.Join(snapshot, "disks")), "memory.bin"), textMemory(30))
	args := []string{"pack", "--working-set", recorded, snapshot, packed}
	refused(t, exitNotFound, args, recorded, "no trace")
	sabrefs(t, "pack", snapshot, packed)
	trace := recordTrace(t, filepath.Join(recorded, "disks", "memory.bin.ws"), filepath.Join(packed, "disks", "memory.bin.sabre"), 9, 2)
	noError(t, os.RemoveAll(packed))
	sabrefs(t, args...)
	wantLaidOut(t, filepath.Join(packed, "disks", "memory.bin.sabre"), textMemory(30), []uint32{9, 2})
	wantLaidOut(t, filepath.Join(packed, "mem_file.sabre"), memory, nil)
	noError(t, os.RemoveAll(packed))
	refused(t, exitUsage, []string{"pack", "--working-set", trace, snapshot, packed}, "2 memory files", trace)

	// of the same size, and yet another memory: that shows at the end
	changed := textMemory(30)
	changed[0] ^= 1
	writeFile(t, other, changed)
	refused(t, exitParent, args, "memory.bin", "another image")
	wantNames(t, dir, "snapshot", "traces")
}

// TestPackRefusesTraces: nothing appears.
func TestPackRefusesTraces(t *testing.T) {
	image, _ := packedImage(t)
	dir := realTempDir(t)
	for name, bad := range badTraces(t, image) {
		t.Run(name, func(t *testing.T) {
			source := filepath.Join(filepath.Dir(image), "mem_file")
			refused(t, bad.code, []string{"pack", "--working-set", bad.trace, source, filepath.Join(dir, "x")}, bad.words...)
			wantNames(t, dir)
		})
	}
	changed := guestMemory(samplePages)
	changed[len(changed)-1] ^= 1
	source := writeFile(t, filepath.Join(realTempDir(t), "mem_file"), changed)
	trace := recordTrace(t, filepath.Join(realTempDir(t), "mem_file.ws"), image, recordedPages...)
	refused(t, exitParent, []string{"pack", "--working-set", trace, source, filepath.Join(dir, "x")}, "another image")
	wantNames(t, dir)
}

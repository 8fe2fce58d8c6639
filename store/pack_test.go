package store

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPackOptionsRefused(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(3))
	for name, opt := range map[string]PackOptions{
		"three pages a frame": {FramePages: 3},
		"too many pages":      {FramePages: 128},
		"negative pages":      {FramePages: -4},
		"unknown codec":       {Codec: 4},
		"unknown level":       {Level: 5},
		"negative level":      {Level: -1, Codec: CodecLZ4},
		"level without codec": {Level: 9, Raw: true},
	} {
		_, err := PackFile(t.Context(), src, filepath.Join(dir, "image.sabre"), opt)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		wantClass(t, err, ErrOption)
	}
	wantNames(t, dir, "mem_file")
}

func TestPackDefaults(t *testing.T) {
	_, result := packBytes(t, textMemory(40), PackOptions{})
	wantEqual(t, "codec", result.Codec, AutoCodec(nil).String())
	wantEqual(t, "level", result.Level, LevelDefault.String())
	wantEqual(t, "frame size", result.FrameBytes, DefaultFramePages(AutoCodec(nil), LevelDefault)*PageBytes)
	for _, codec := range allCodecs {
		for _, level := range allLevels {
			opt := PackOptions{FramePages: DefaultFramePages(codec, level)}
			wantNoError(t, opt.normalise())
		}
	}
}

// TestPackSizes checks the edges of pages, frames, segments and chunks.
func TestPackSizes(t *testing.T) {
	const segment = segmentPages * PageBytes
	for _, lenBytes := range []int{
		0, 1, PageBytes - 1, PageBytes, PageBytes + 1, 16 * PageBytes, 16*PageBytes + 1,
		segment - 1, segment, segment + 1, chunkRawBytes + 1,
	} {
		for name, raw := range map[string][]byte{"zeros": make([]byte, lenBytes), "data": sparseBytes(lenBytes)} {
			t.Run(fmt.Sprintf("%s/%d", name, lenBytes), func(t *testing.T) {
				path, result := packBytes(t, raw, PackOptions{Codec: CodecLZ4, Level: LevelFast})
				wantEqual(t, "raw bytes", result.RawBytes, int64(lenBytes))
				wantEqual(t, "pages", result.PageCount, (int64(lenBytes)+4095)/4096)
				wantEqual(t, "pages add up", result.ZeroPages+result.DuplicatePages+result.StoredPages, result.PageCount)
				wantEqual(t, "digest", result.Digest, naiveDigest(raw).String())
				wantContent(t, path, raw)
				wantUnpacked(t, path, raw)
			})
		}
	}
}

// wantUnpacked unpacks an image and compares bytes.
func wantUnpacked(t *testing.T, image string, want []byte) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "mem_file")
	_, err := UnpackFile(t.Context(), image, dst, UnpackOptions{})
	wantNoError(t, err)
	wantBytes(t, "unpacked file", readFile(t, dst), want)
}

func TestPackCounts(t *testing.T) {
	path, result := packBytes(t, goldenMemory(), PackOptions{Raw: true, FramePages: 2})
	wantEqual(t, "zero pages", result.ZeroPages, 3)
	wantEqual(t, "duplicate pages", result.DuplicatePages, 1)
	wantEqual(t, "stored pages", result.StoredPages, 4)
	wantEqual(t, "frames", result.Frames, 2)
	wantEqual(t, "raw frames", result.RawFrames, 2)
	info, err := os.Stat(path)
	wantNoError(t, err)
	wantEqual(t, "packed bytes", result.PackedBytes, info.Size())
}

// TestPackHugeSparseFile packs 64 GiB of which little is data: holes must cost
// neither time nor space.
func TestPackHugeSparseFile(t *testing.T) {
	const rawBytes = 64 << 30
	dir := t.TempDir()
	src, image, back := filepath.Join(dir, "mem_file"), filepath.Join(dir, "image.sabre"), filepath.Join(dir, "back")
	data := textMemory(2)
	places := []int64{0, 5<<30 + PageBytes, 40<<30 - PageBytes, rawBytes - 2*PageBytes}
	writeSparse(t, src, rawBytes, data, places)
	result, err := PackFile(t.Context(), src, image, PackOptions{})
	wantNoError(t, err)
	wantEqual(t, "raw bytes", result.RawBytes, rawBytes)
	wantEqual(t, "stored pages", result.StoredPages, 2)
	if result.PackedBytes > 1<<20 {
		t.Errorf("the image has %d bytes", result.PackedBytes)
	}
	_, err = UnpackFile(t.Context(), image, back, UnpackOptions{})
	wantNoError(t, err)
	for _, rawOff := range places {
		wantBytes(t, "data", readRange(t, back, rawOff, len(data)), data)
	}
	wantNoError(t, openImage(t, image).checkReferences(t.Context()))
	for _, path := range []string{src, image, back} {
		if used := diskUsage(t, path); used > 2<<20 {
			t.Errorf("%s takes %d bytes of disk", path, used)
		}
	}
}

// writeSparse makes a file with data at some places and holes between.
func writeSparse(tb testing.TB, path string, lenBytes int64, data []byte, places []int64) {
	tb.Helper()
	f, err := os.Create(path)
	wantNoError(tb, err)
	wantNoError(tb, f.Truncate(lenBytes))
	for _, rawOff := range places {
		_, err := f.WriteAt(data, rawOff)
		wantNoError(tb, err)
	}
	wantNoError(tb, f.Close())
}

func readRange(t *testing.T, path string, off int64, lenBytes int) []byte {
	t.Helper()
	f, err := os.Open(path)
	wantNoError(t, err)
	defer f.Close()
	b := make([]byte, lenBytes)
	_, err = f.ReadAt(b, off)
	wantNoError(t, err)
	return b
}

func diskUsage(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	wantNoError(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

func TestPackRefusesSources(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image.sabre")
	large := filepath.Join(dir, "large")
	writeSparse(t, large, 0, nil, nil)
	if err := os.Truncate(large, MaxRawBytes+1); err == nil {
		_, err := PackFile(t.Context(), large, image, PackOptions{})
		wantClass(t, err, ErrLimit)
	}
	wantClass(t, checkMemoryFile("f", fakeInfo{size: MaxRawBytes + 1}), ErrLimit)
	wantNoError(t, checkMemoryFile("f", fakeInfo{size: MaxRawBytes}))
	_, err := PackFile(t.Context(), dir, image, PackOptions{})
	wantClass(t, err, ErrOption)
	_, err = PackFile(t.Context(), filepath.Join(dir, "missing"), image, PackOptions{})
	wantClass(t, err, fs.ErrNotExist)
	wantNames(t, dir, "large")
}

// fakeInfo is a regular file of any size.
type fakeInfo struct {
	fs.FileInfo
	size int64
}

func (f fakeInfo) Size() int64     { return f.size }
func (fakeInfo) Mode() fs.FileMode { return 0o600 }

// TestPackOntoItself checks that a memory file is never replaced by its image,
// by whatever name.
func TestPackOntoItself(t *testing.T) {
	dir := t.TempDir()
	raw := textMemory(2)
	src := writeFile(t, filepath.Join(dir, "mem_file"), raw)
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	wantNoError(t, os.Symlink("mem_file", link))
	wantNoError(t, os.Link(src, hard))
	for _, dst := range []string{src, link, hard} {
		_, err := PackFile(t.Context(), src, dst, PackOptions{Overwrite: true})
		wantClass(t, err, ErrOption)
		wantBytes(t, "source", readFile(t, src), raw)
	}
	wantNames(t, dir, "mem_file", "link", "hard")
}

func TestPackTargetExists(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(2))
	image := writeFile(t, filepath.Join(dir, "image.sabre"), []byte("kept"))
	_, err := PackFile(t.Context(), src, image, PackOptions{})
	wantClass(t, err, ErrExists)
	wantBytes(t, "target", readFile(t, image), []byte("kept"))
	_, err = PackFile(t.Context(), src, image, PackOptions{Overwrite: true})
	wantNoError(t, err)
	wantContent(t, image, textMemory(2))

	raw := filepath.Join(dir, "back")
	writeFile(t, raw, []byte("kept"))
	_, err = UnpackFile(t.Context(), image, raw, UnpackOptions{})
	wantClass(t, err, ErrExists)
	wantBytes(t, "target", readFile(t, raw), []byte("kept"))
	_, err = UnpackFile(t.Context(), image, raw, UnpackOptions{Overwrite: true})
	wantNoError(t, err)
	wantBytes(t, "target", readFile(t, raw), textMemory(2))
}

func TestPackKeepsPermissions(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o666, 0o400} {
		src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(1))
		wantNoError(t, os.Chmod(src, mode))
		image, back := filepath.Join(dir, "image.sabre"), filepath.Join(dir, "back")
		_, err := PackFile(t.Context(), src, image, PackOptions{Overwrite: true})
		wantNoError(t, err)
		_, err = UnpackFile(t.Context(), image, back, UnpackOptions{Overwrite: true})
		wantNoError(t, err)
		for _, path := range []string{image, back} {
			info, err := os.Stat(path)
			wantNoError(t, err)
			wantEqual(t, path+" mode", info.Mode(), mode)
		}
		wantNoError(t, os.Remove(src))
	}
}

// TestPackChangedInput changes the memory file in the middle of packing, as a
// VM that was not paused does.
func TestPackChangedInput(t *testing.T) {
	const pages = 20 * segmentPages
	write := func(t *testing.T, path string, rawOff int64) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		wantNoError(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("x"), rawOff)
		wantNoError(t, err)
	}
	for name, change := range map[string]func(t *testing.T, path string){
		"first byte": func(t *testing.T, path string) { t.Helper(); write(t, path, 0) },
		"last byte":  func(t *testing.T, path string) { t.Helper(); write(t, path, pages*PageBytes-1) },
		"longer":     func(t *testing.T, path string) { t.Helper(); write(t, path, pages*PageBytes) },
		"shorter":    func(t *testing.T, path string) { t.Helper(); wantNoError(t, os.Truncate(path, pages*PageBytes/2)) },
		"empty":      func(t *testing.T, path string) { t.Helper(); wantNoError(t, os.Truncate(path, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(pages))
			// a clock that ticks slowly must not hide the change
			hourAgo := time.Now().Add(-time.Hour)
			wantNoError(t, os.Chtimes(src, hourAgo, hourAgo))
			image := writeFile(t, filepath.Join(dir, "image.sabre"), []byte("kept"))
			changed := false
			_, err := PackFile(t.Context(), src, image, PackOptions{
				Codec: CodecLZ4, Level: LevelFast, Workers: 1, Overwrite: true,
				Progress: func(int64) {
					if !changed {
						change(t, src)
					}
					changed = true
				},
			})
			wantClass(t, err, ErrChanged)
			wantBytes(t, "target", readFile(t, image), []byte("kept"))
			wantNames(t, dir, "image.sabre", "mem_file")
		})
	}
}

// TestPackReplacedInput checks that a file which is replaced, not changed, is
// packed as it was.
func TestPackReplacedInput(t *testing.T) {
	dir := t.TempDir()
	raw := textMemory(3 * segmentPages)
	src, image := writeFile(t, filepath.Join(dir, "mem_file"), raw), filepath.Join(dir, "image.sabre")
	_, err := PackFile(t.Context(), src, image, PackOptions{Codec: CodecLZ4, Level: LevelFast, Workers: 1, Progress: func(int64) {
		wantNoError(t, os.Rename(writeFile(t, filepath.Join(dir, "other"), []byte("other")), src))
	}})
	// the rename changes the link count of the old file, and not its content
	wantNoError(t, err)
	wantContent(t, image, raw)
}

func TestPackCancelled(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(8*segmentPages))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := PackFile(ctx, src, filepath.Join(dir, "image.sabre"), PackOptions{Workers: 1, Progress: func(int64) { cancel() }})
	wantClass(t, err, context.Canceled)
	wantNames(t, dir, "mem_file")

	path, _ := packBytes(t, textMemory(1), PackOptions{})
	_, err = openImage(t, path).Verify(ctx, nil)
	wantClass(t, err, context.Canceled)
	_, err = UnpackFile(ctx, path, filepath.Join(dir, "back"), UnpackOptions{})
	wantClass(t, err, context.Canceled)
	wantNames(t, dir, "mem_file")
}

// TestProgressReachesTheEnd checks that progress grows and ends with the file.
func TestProgressReachesTheEnd(t *testing.T) {
	raw := textMemory(3*segmentPages + 1)
	raw = raw[:len(raw)-10]
	last := int64(-1)
	progress := func(done int64) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last = done
	}
	path, _ := packBytes(t, raw, PackOptions{Codec: CodecLZ4, Level: LevelFast, Progress: progress})
	wantEqual(t, "progress of packing", last, int64(len(raw)))
	last = -1
	_, err := openImage(t, path).Verify(t.Context(), progress)
	wantNoError(t, err)
	wantEqual(t, "progress of verifying", last, int64(len(raw)))
	last = -1
	_, err = UnpackFile(t.Context(), path, filepath.Join(t.TempDir(), "back"), UnpackOptions{Progress: progress})
	wantNoError(t, err)
	wantEqual(t, "progress of unpacking", last, int64(len(raw)))
}

// TestPacksRace packs different files to one target at once.
func TestPacksRace(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		dir := t.TempDir()
		image := filepath.Join(dir, "image.sabre")
		const packers = 6
		errs := make([]error, packers)
		var running sync.WaitGroup
		for i := range packers {
			src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), textMemory(i+1))
			running.Go(func() {
				_, errs[i] = PackFile(t.Context(), src, image, PackOptions{Codec: CodecLZ4, Overwrite: overwrite})
			})
		}
		running.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			wantEqual(t, "a pack with replacement fails", overwrite, false)
			wantClass(t, err, ErrExists)
		}
		wantEqual(t, "exactly one pack won", won == 1, !overwrite)
		wantNames(t, dir, "image.sabre")
		wantContent(t, image, textMemory(int(openImage(t, image).RawBytes()/PageBytes)))
	}
}

func TestUnpackRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(1))
	_, err := UnpackFile(t.Context(), src, filepath.Join(dir, "back"), UnpackOptions{})
	wantClass(t, err, ErrNotImage)
	_, err = UnpackFile(t.Context(), filepath.Join(dir, "missing"), filepath.Join(dir, "back"), UnpackOptions{})
	wantClass(t, err, fs.ErrNotExist)
	wantNames(t, dir, "mem_file")
}

// TestUnpackOntoItself checks that an image is never replaced by what it holds.
func TestUnpackOntoItself(t *testing.T) {
	image, _ := packBytes(t, textMemory(2), PackOptions{})
	_, err := UnpackFile(t.Context(), image, image, UnpackOptions{Overwrite: true})
	wantClass(t, err, ErrOption)
	wantContent(t, image, textMemory(2))
}

// TestPipesAreNotWaitedFor opens pipes that nobody writes to.
func TestPipesAreNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	wantNoError(t, unix.Mkfifo(pipe, 0o600))
	_, err := Open(pipe, OpenOptions{})
	wantClass(t, err, ErrNotImage)
	_, err = ReadHeader(pipe)
	wantClass(t, err, ErrNotImage)
	_, err = PackFile(t.Context(), pipe, filepath.Join(dir, "image.sabre"), PackOptions{})
	wantClass(t, err, ErrOption)
	wantNames(t, dir, "pipe")
}

package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"sabrefs/iaa"
	"sabrefs/tests/seedtest"
)

// randomRepack are options as randomOptions, of which some keep what there is.
func randomRepack(r *rand.Rand, pageCount int64) PackOptions {
	opt := PackOptions{Workers: 1 + r.IntN(4)}
	if r.IntN(2) == 0 {
		opt = randomOptions(r)
		opt.UUID = uuid.Nil
	}
	opt.HotCodec = allCodecs[r.IntN(len(allCodecs))]
	opt.HotRaw = opt.HotCodec == CodecRaw
	opt.HotFramePages = 1 << r.IntN(7)
	switch r.IntN(4) {
	case 0: // keeps the working set
	case 1:
		opt.WorkingSet = []PageRun{}
	default:
		opt.WorkingSet = append(randomWorkingSet(r, pageCount), PageRun{FirstPage: uint32(r.Int64N(pageCount)), PageCount: 1})
	}
	return opt
}

// TestRepackMetamorphic packs random memory and writes the image anew again and
// again. Content and digest stay; the working set is the one that was asked for.
func TestRepackMetamorphic(t *testing.T) {
	const memories, repacks = 5, 6
	r := seedtest.Rand(t)
	for range memories {
		raw := guestMemory(r, PageBytes+r.IntN(2<<20))
		pageCount := pagesOf(int64(len(raw)))
		first := randomOptions(r)
		path, packed := packBytes(t, raw, first)
		var set []PageRun
		for range repacks {
			opt := randomRepack(r, pageCount)
			what := fmt.Sprintf("%d bytes of %v, %v (raw %t), %d pages a frame, hot %v, working set of %d runs",
				len(raw), first.Codec, opt.Codec, opt.Raw, opt.FramePages, opt.HotCodec, len(opt.WorkingSet))
			result, err := RepackFile(t.Context(), path, opt)
			wantNoError(t, err)
			wantEqual(t, what+": digest", result.Digest, packed.Digest)
			wantEqual(t, what+": has a UUID of its own", result.UUID != packed.UUID, true)
			wantContent(t, path, raw)
			if opt.WorkingSet != nil {
				set = opt.WorkingSet
			}
			wantLaidOut(t, path, set, opt.HotCodec, opt.HotFramePages)
			wantNames(t, filepath.Dir(path), "image.sabre", "mem_file")
		}
		wantUnpacked(t, path, raw)
	}
}

// framesOf returns the packed bytes of the frames behind the hot ones.
func framesOf(t *testing.T, img *Image) (packed []string, codecs map[Codec]int) {
	t.Helper()
	codecs = make(map[Codec]int)
	h := img.Header()
	for frame := h.HotFrames; frame < h.FrameCount; frame++ {
		entry, err := img.Frame(uint32(frame))
		wantNoError(t, err)
		codecs[entry.Codec]++
		b := make([]byte, entry.PackedLen)
		_, err = img.file.ReadAt(b, entry.PackedOff)
		wantNoError(t, err)
		packed = append(packed, string(b))
	}
	return packed, codecs
}

// TestRepackTakesFramesOver: frames without a page of the working set are not
// compressed again, whatever the level, and the rest is as it was asked for.
func TestRepackTakesFramesOver(t *testing.T) {
	r := seedtest.Rand(t)
	raw := textMemory(64 * 2)
	for _, codec := range allCodecs {
		for _, pages := range []int{1, 8, 32} {
			path, _ := packBytes(t, raw, PackOptions{Codec: codec, Raw: codec == CodecRaw, FramePages: pages, Level: LevelBetter, Engine: iaa.Software()})
			old, err := Open(path, OpenOptions{})
			wantNoError(t, err)
			before, _ := framesOf(t, old)
			wantNoError(t, old.Close())
			page := uint32(r.IntN(len(raw) / PageBytes))
			result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: singles(page), Level: LevelFast})
			wantNoError(t, err)
			img := openImage(t, path)
			after, codecs := framesOf(t, img)
			wantEqual(t, "frames that are taken over", result.CopiedFrames, int64(len(before)-1))
			wantEqual(t, "codecs", len(codecs), 1)
			wantEqual(t, "frames of the codec", codecs[codec], len(after))
			taken := 0
			for _, frame := range after {
				if slices.Contains(before, frame) {
					taken++
				}
			}
			wantEqual(t, "frames that are the same", taken >= len(before)-1, true)
			wantContent(t, path, raw)
			wantLaidOut(t, path, singles(page), AutoHotCodec(nil), DefaultHotFramePages(AutoHotCodec(nil)))
		}
	}
}

// TestRepackFillsFrames: what is left of frames that were broken up is packed
// into few frames, though others lie between.
func TestRepackFillsFrames(t *testing.T) {
	const pages, framePages = 64 * 24, 8
	raw := textMemory(pages)
	path, packed := packBytes(t, raw, PackOptions{Codec: CodecLZ4, FramePages: framePages})
	var set []PageRun
	for page := uint32(3); page < pages; page += 2 * framePages { // a page of every other frame
		set = append(set, PageRun{FirstPage: page, PageCount: 1})
	}
	result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: set, HotFramePages: framePages})
	wantNoError(t, err)
	wantEqual(t, "frames that are taken over", result.CopiedFrames, packed.Frames/2)
	// 7 of 8 pages are left of half of the frames; waiting must not end many early
	if most := packed.Frames + packed.Frames/32; result.Frames > most {
		t.Errorf("%d frames of %d became %d, at most %d expected", packed.Frames/2, packed.Frames, result.Frames, most)
	}
	wantContent(t, path, raw)
}

// TestRepackKeepsStyle: codec and frame size stay, also from an image that has
// been laid out before, and with a working set that covers all.
func TestRepackKeepsStyle(t *testing.T) {
	raw := textMemory(200)
	for _, codec := range []Codec{CodecDeflate, CodecZstd, CodecLZ4} {
		path, _ := packBytes(t, raw, PackOptions{Codec: codec, FramePages: 2})
		for round, set := range [][]PageRun{{{0, 100}}, {{50, 100}}, nil, {}} {
			result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: set, HotCodec: CodecLZ4, HotFramePages: 32})
			wantNoError(t, err)
			wantEqual(t, fmt.Sprint("codec of round ", round), result.Codec, codec.String())
			wantEqual(t, fmt.Sprint("frame size of round ", round), result.FrameBytes, 2*PageBytes)
		}
		h := openImage(t, path).Header()
		wantEqual(t, "hot frames without a working set", h.HotFrames, 0)
		_, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: []PageRun{{0, 200}}})
		wantNoError(t, err)
		result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: []PageRun{}})
		wantNoError(t, err)
		wantEqual(t, "codec of an image that was all hot", result.Codec, AutoCodec(nil).String())
		wantContent(t, path, raw)
	}
}

// TestRepackKeepsLevel: what is compressed again of a dense image is dense again.
func TestRepackKeepsLevel(t *testing.T) {
	raw := textMemory(300)
	for level, want := range map[Level]Level{LevelBest: LevelBest, LevelBetter: LevelDefault} {
		path, _ := packBytes(t, raw, PackOptions{Codec: CodecZstd, Level: level})
		result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: singles(1, 50)})
		wantNoError(t, err)
		wantEqual(t, "level", result.Level, want.String())
		result, err = RepackFile(t.Context(), path, PackOptions{Level: LevelFast})
		wantNoError(t, err)
		wantEqual(t, "level that was asked for", result.Level, LevelFast.String())
		result, err = RepackFile(t.Context(), path, PackOptions{Codec: CodecZstd})
		wantNoError(t, err)
		wantEqual(t, "level of all pages", result.Level, LevelDefault.String())
	}
}

// TestRepackSharedTables: frames keep the tables that they need.
func TestRepackSharedTables(t *testing.T) {
	raw := frameOf(7, 400)
	path, packed := packBytes(t, raw, PackOptions{Codec: CodecDeflate, FramePages: 1, Engine: iaa.Software()})
	tables, err := openImage(t, path).SharedTables()
	wantNoError(t, err)
	result, err := RepackFile(t.Context(), path, PackOptions{WorkingSet: []PageRun{{0, 100}}, HotCodec: CodecLZ4})
	wantNoError(t, err)
	if result.SharedTableFrames == 0 || result.SharedTableFrames >= packed.SharedTableFrames {
		t.Fatalf("%d frames share tables, before it were %d", result.SharedTableFrames, packed.SharedTableFrames)
	}
	kept, err := openImage(t, path).SharedTables()
	wantNoError(t, err)
	wantEqual(t, "tables are the same", slices.Equal(kept, tables), true)
	wantContent(t, path, raw)

	result, err = RepackFile(t.Context(), path, PackOptions{Codec: CodecZstd, HotCodec: CodecLZ4})
	wantNoError(t, err)
	wantEqual(t, "frames that share tables", result.SharedTableFrames, 0)
	kept, err = openImage(t, path).SharedTables()
	wantNoError(t, err)
	wantEqual(t, "tables that nobody needs", len(kept), 0)
}

// TestRepackDamaged repacks damaged images: each is refused and left as it is, or
// the damage was where nothing lies.
func TestRepackDamaged(t *testing.T) {
	const rounds = 60
	r := seedtest.Rand(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "image.sabre")
	for name, sample := range damageSamples(t, r) {
		set := []PageRun{{FirstPage: uint32(r.IntN(4)), PageCount: 3}}
		for round := range rounds {
			image, what := damages[round%len(damages)](r, bytes.Clone(sample.image))
			if r.IntN(2) == 0 {
				reseal(image)
				what += " and sealed again"
			}
			what = name + ": " + what
			writeFile(t, path, image)
			opt := PackOptions{WorkingSet: set}
			if r.IntN(2) == 0 {
				opt.Codec = CodecLZ4
			}
			if _, err := RepackFile(t.Context(), path, opt); err != nil {
				wantEqual(t, fmt.Sprintf("%s: refused as what it is (%v)", what, err), refused(err), true)
				wantBytes(t, what+": image", readFile(t, path), image)
			} else {
				wantContent(t, path, sample.raw)
			}
			wantNames(t, dir, "image.sabre")
		}
	}
}

func TestRepackRefusals(t *testing.T) {
	path, _ := packBytes(t, textMemory(10), PackOptions{})
	dir, before := filepath.Dir(path), readFile(t, path)
	repack := func(path string, opt PackOptions) error {
		_, err := RepackFile(t.Context(), path, opt)
		return err
	}
	wantClass(t, repack(path, PackOptions{WorkingSet: singles(10)}), ErrOption)
	wantClass(t, repack(path, PackOptions{HotFramePages: 3}), ErrOption)
	wantClass(t, repack(path, PackOptions{Level: 9}), ErrOption)
	wantClass(t, repack(path, PackOptions{Accept: func(*Header) error { return ErrLimit }}), ErrLimit)
	wantClass(t, repack(filepath.Join(dir, "missing"), PackOptions{}), os.ErrNotExist)
	wantClass(t, repack(filepath.Join(dir, "mem_file"), PackOptions{}), ErrNotImage)
	wantClass(t, repack(dir, PackOptions{}), ErrNotImage)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := RepackFile(ctx, path, PackOptions{})
	wantClass(t, err, context.Canceled)
	wantBytes(t, "image", readFile(t, path), before)

	image := bytes.Clone(before)
	image[hdrROCompat] = 1
	resealHeader(image)
	writeFile(t, path, image)
	wantClass(t, repack(path, PackOptions{}), ErrFeature)
	wantBytes(t, "image", readFile(t, path), image)
	wantNames(t, dir, "image.sabre", "mem_file")
}

// TestRepackReplacedMeanwhile: an image that somebody else put there is not lost.
func TestRepackReplacedMeanwhile(t *testing.T) {
	path, _ := packBytes(t, textMemory(1000), PackOptions{})
	other, _ := packBytes(t, textMemory(5), PackOptions{})
	_, err := RepackFile(t.Context(), path, PackOptions{Workers: 1, Progress: func(int64) {
		if _, err := os.Stat(other); err == nil {
			wantNoError(t, os.Rename(other, path))
		}
	}})
	wantClass(t, err, ErrChanged)
	wantContent(t, path, textMemory(5))
	wantNames(t, filepath.Dir(path), "image.sabre", "mem_file")
}

// TestRepackKeepsFile: a link stays one, and so do mode and owner. Who has the old
// image open keeps it.
func TestRepackKeepsFile(t *testing.T) {
	raw := textMemory(50)
	path, _ := packBytes(t, raw, PackOptions{})
	link := filepath.Join(filepath.Dir(path), "link")
	wantNoError(t, os.Symlink("image.sabre", link))
	wantNoError(t, os.Chmod(path, 0o640))
	const uid, gid = 12, 34
	root := os.Geteuid() == 0
	if root {
		wantNoError(t, os.Chown(path, uid, gid))
	}
	old := openImage(t, path)
	_, err := RepackFile(t.Context(), link, PackOptions{WorkingSet: []PageRun{{9, 3}}})
	wantNoError(t, err)
	info, err := os.Lstat(path)
	wantNoError(t, err)
	wantEqual(t, "mode", info.Mode(), 0o640)
	if st, ok := info.Sys().(*syscall.Stat_t); root && (!ok || st.Uid != uid || st.Gid != gid) {
		t.Errorf("the image belongs to somebody else: %+v", st)
	}
	target, err := os.Readlink(link)
	wantNoError(t, err)
	wantEqual(t, "link", target, "image.sabre")
	wantEqual(t, "the image is another one", openImage(t, path).Header().UUID != old.Header().UUID, true)
	got, err := readAll(old)
	wantNoError(t, err)
	wantBytes(t, "old image", got, raw)
}

// TestRepackOfEmpty repacks memory without bytes and without data.
func TestRepackOfEmpty(t *testing.T) {
	for _, raw := range [][]byte{{}, make([]byte, 5*PageBytes)} {
		path, _ := packBytes(t, raw, PackOptions{})
		_, err := RepackFile(t.Context(), path, PackOptions{})
		wantNoError(t, err)
		wantContent(t, path, raw)
	}
}

package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"sabrefs/iaa"
	"sabrefs/tests/seedtest"
)

// laidOut returns the pages in the order in which a layout visits them.
func laidOut(t *testing.T, runs []PageRun, pageCount int64) []int64 {
	t.Helper()
	l, err := newHotLayout(runs, pageCount)
	wantNoError(t, err)
	var pages []int64
	wantNoError(t, l.forEachRun(t.Context(), segmentPages, func(first, count int64) error {
		if count < 1 || count > segmentPages {
			t.Fatalf("a run of %d pages", count)
		}
		for page := range count {
			pages = append(pages, first+page)
		}
		return nil
	}))
	return pages
}

func singles(pages ...uint32) (runs []PageRun) {
	for _, page := range pages {
		runs = append(runs, PageRun{FirstPage: page, PageCount: 1})
	}
	return runs
}

func TestLayoutOrder(t *testing.T) {
	for name, c := range map[string]struct {
		runs []PageRun
		want []int64
	}{
		"sorted within the window":  {singles(90, 10, 50), []int64{10, 50, 90}},
		"small gaps are filled":     {singles(13, 10, 17), []int64{10, 11, 12, 13, 17}},
		"a page counts once":        {[]PageRun{{5, 3}, {6, 1}, {4, 4}}, []int64{4, 5, 6, 7}},
		"nothing before the first":  {singles(1), []int64{1}},
		"neighbors need no filling": {[]PageRun{{2, 2}, {0, 2}}, []int64{0, 1, 2, 3}},
	} {
		wantEqual(t, name, fmt.Sprint(laidOut(t, c.runs, 100)), fmt.Sprint(c.want))
	}
}

// TestLayoutWindows has two windows: the second comes after the first, whatever
// the addresses, and does not repeat what the first has taken along.
func TestLayoutWindows(t *testing.T) {
	const far = 100_000
	first := make([]uint32, 0, hotWindowPages)
	for i := range uint32(hotWindowPages) {
		first = append(first, far+2*i)
	}
	second := singles(far+1, 7, far-2)
	got := laidOut(t, append(singles(first...), second...), 2*far)
	wantEqual(t, "pages", len(got), 2*hotWindowPages-1+2)
	for i := range 2*hotWindowPages - 1 {
		wantEqual(t, "page of the first window", got[i], int64(far+i))
	}
	// far+1 lay between two pages of the first window; 7 and far-2 are sorted,
	// and far-1 is not taken along, for far itself belongs to the first window
	wantEqual(t, "second window", fmt.Sprint(got[2*hotWindowPages-1:]), fmt.Sprint([]int64{7, far - 2}))
}

func TestLayoutRefusals(t *testing.T) {
	dir := t.TempDir()
	src := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(10))
	for name, runs := range map[string][]PageRun{
		"no pages":              {{3, 0}},
		"behind the memory":     {{0, 1}, {10, 1}},
		"over the end":          {{9, 2}},
		"sum overflows 32 bits": {{1<<32 - 1, 1<<32 - 1}},
	} {
		_, err := PackFile(t.Context(), src, filepath.Join(dir, "image.sabre"), PackOptions{WorkingSet: runs})
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		wantClass(t, err, ErrOption)
	}
	for name, opt := range map[string]PackOptions{
		"three pages a frame": {HotFramePages: 3},
		"too many pages":      {HotFramePages: 2 * MaxFramePages},
		"unknown codec":       {HotCodec: maxCodec + 1, WorkingSet: singles(1)},
	} {
		_, err := PackFile(t.Context(), src, filepath.Join(dir, "image.sabre"), opt)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		wantClass(t, err, ErrOption)
	}
	wantNames(t, dir, "mem_file")
}

// TestLayoutIsBounded records more runs than an image has room for: the earliest
// are kept.
func TestLayoutIsBounded(t *testing.T) {
	const pageCount = 3 * MaxWorkingSetRuns
	runs := make([]PageRun, 0, MaxWorkingSetRuns+5)
	for i := range uint32(MaxWorkingSetRuns + 5) {
		runs = append(runs, PageRun{FirstPage: pageCount - 2 - 2*i, PageCount: 1})
	}
	l, err := newHotLayout(runs, pageCount)
	wantNoError(t, err)
	wantEqual(t, "the earliest runs", slices.Equal(l.recorded, runs[:MaxWorkingSetRuns]), true)
}

func TestHotDefaults(t *testing.T) {
	set := singles(1)
	for name, c := range map[string]struct {
		opt   PackOptions
		codec Codec
		pages int
		level Level
	}{
		"software":         {PackOptions{WorkingSet: set, Engine: iaa.Software()}, CodecLZ4, 16, LevelBest},
		"fast":             {PackOptions{WorkingSet: set, Engine: iaa.Software(), Level: LevelFast}, CodecLZ4, 16, LevelFast},
		"raw":              {PackOptions{WorkingSet: set, Raw: true}, CodecRaw, 16, LevelDefault},
		"raw but lz4":      {PackOptions{WorkingSet: set, Raw: true, HotCodec: CodecLZ4}, CodecLZ4, 16, LevelBest},
		"deflate":          {PackOptions{WorkingSet: set, HotCodec: CodecDeflate}, CodecDeflate, 4, LevelDefault},
		"zstd, raw hot":    {PackOptions{WorkingSet: set, Codec: CodecZstd, HotRaw: true}, CodecRaw, 16, LevelDefault},
		"own frame size":   {PackOptions{WorkingSet: set, HotCodec: CodecLZ4, HotFramePages: 64}, CodecLZ4, 64, LevelBest},
		"level of deflate": {PackOptions{WorkingSet: set, HotCodec: CodecDeflate, Level: LevelBetter}, CodecDeflate, 4, LevelBetter},
	} {
		wantNoError(t, c.opt.normalise())
		wantEqual(t, name+": codec", c.opt.HotCodec, c.codec)
		wantEqual(t, name+": frame", c.opt.HotFramePages, c.pages)
		wantEqual(t, name+": level", c.opt.hotLevel(), c.level)
	}
}

// randomWorkingSet has runs all over the memory, in any order, some twice.
func randomWorkingSet(r *rand.Rand, pageCount int64) (runs []PageRun) {
	if pageCount == 0 {
		return nil
	}
	for range r.IntN(60) {
		first := r.Int64N(pageCount)
		runs = append(runs, PageRun{FirstPage: uint32(first), PageCount: uint32(1 + r.Int64N(min(9, pageCount-first)))})
	}
	return runs
}

// wantLaidOut checks that the hot frames come first and hold all of the working
// set, that no other frame is needed for it, and that the image says what it is.
func wantLaidOut(t *testing.T, path string, runs []PageRun, hotCodec Codec, hotPages int) {
	t.Helper()
	img := openImage(t, path)
	h := img.Header()
	recorded, err := img.WorkingSet()
	wantNoError(t, err)
	want := firstTouches(runs, h.PageCount())
	wantEqual(t, "recorded working set", fmt.Sprint(recorded), fmt.Sprint(want))
	var refs [1]PageRef
	for _, run := range want {
		for page := range int64(run.PageCount) {
			wantNoError(t, img.Pages(int64(run.FirstPage)+page, refs[:]))
			if refs[0].Kind == PageInFrame && int64(refs[0].Frame) >= h.HotFrames {
				t.Fatalf("page %d of the working set is in frame %d, the hot ones are %d", int64(run.FirstPage)+page, refs[0].Frame, h.HotFrames)
			}
		}
	}
	end := int64(headerBytes)
	for frame := range h.FrameCount {
		entry, err := img.Frame(uint32(frame))
		wantNoError(t, err)
		wantEqual(t, "frames follow each other", entry.PackedOff, end)
		end += int64(entry.PackedLen)
		if frame >= h.HotFrames {
			continue
		}
		if entry.Codec != hotCodec && entry.Codec != CodecRaw {
			t.Fatalf("hot frame %d is %v, want %v", frame, entry.Codec, hotCodec)
		}
		if entry.Pages > hotPages || frame < h.HotFrames-1 && entry.Pages != hotPages {
			t.Fatalf("hot frame %d of %d has %d pages, want %d", frame, h.HotFrames, entry.Pages, hotPages)
		}
	}
}

// TestLayoutEveryPair packs with every pair of codecs.
func TestLayoutEveryPair(t *testing.T) {
	r := seedtest.Rand(t)
	for _, cold := range allCodecs {
		for _, hot := range allCodecs {
			raw := guestMemory(r, 300*PageBytes+r.IntN(PageBytes))
			opt := PackOptions{
				Codec: cold, Raw: cold == CodecRaw, HotCodec: hot, HotRaw: hot == CodecRaw,
				FramePages: 1 << r.IntN(7), HotFramePages: 1 << r.IntN(7),
				WorkingSet: append(randomWorkingSet(r, 301), PageRun{FirstPage: 300, PageCount: 1}),
			}
			t.Run(fmt.Sprintf("%v after %v, frames of %d and %d", cold, hot, opt.FramePages, opt.HotFramePages), func(t *testing.T) {
				path, result := packBytes(t, raw, opt)
				wantEqual(t, "digest", result.Digest, naiveDigest(raw).String())
				wantEqual(t, "hot codec", result.HotCodec, hot.String())
				wantContent(t, path, raw)
				wantUnpacked(t, path, raw)
				wantLaidOut(t, path, opt.WorkingSet, hot, opt.HotFramePages)
				h := openImage(t, path).Header()
				wantEqual(t, "largest frame", h.MaxPagesPerFrame(), max(opt.FramePages, opt.HotFramePages))
				wantEqual(t, "hot frames", result.HotFrames, h.HotFrames)
				wantEqual(t, "pages add up", result.ZeroPages+result.DuplicatePages+result.StoredPages, result.PageCount)
			})
		}
	}
}

// TestLayoutSharedTables trains for the frames that are DEFLATE.
func TestLayoutSharedTables(t *testing.T) {
	raw := frameOf(7, 400)
	path, result := packBytes(t, raw, PackOptions{
		Codec: CodecZstd, HotCodec: CodecDeflate, HotFramePages: 1, WorkingSet: []PageRun{{0, 200}}, Engine: iaa.Software(),
	})
	if result.SharedTableFrames < result.HotFrames/2 {
		t.Fatalf("%d of %d hot frames share tables", result.SharedTableFrames, result.HotFrames)
	}
	wantContent(t, path, raw)
}

// TestLayoutOfNothing lays out what takes no room.
func TestLayoutOfNothing(t *testing.T) {
	path, result := packBytes(t, make([]byte, 50*PageBytes), PackOptions{WorkingSet: []PageRun{{0, 50}}})
	wantEqual(t, "hot frames", result.HotFrames, 0)
	wantEqual(t, "working set", result.WorkingSetPages, 50)
	wantContent(t, path, make([]byte, 50*PageBytes))

	path, result = packBytes(t, textMemory(9), PackOptions{WorkingSet: []PageRun{{0, 9}}, HotFramePages: 4})
	wantEqual(t, "hot frames", result.HotFrames, 3)
	wantEqual(t, "frames", result.Frames, 3)
	wantContent(t, path, textMemory(9))
}

// TestLayoutSharesSlots: a cold page that equals a hot one refers to it.
func TestLayoutSharesSlots(t *testing.T) {
	raw := append(textMemory(40), textMemory(40)...)
	path, result := packBytes(t, raw, PackOptions{WorkingSet: []PageRun{{40, 40}}})
	wantEqual(t, "duplicates", result.DuplicatePages, 40)
	wantEqual(t, "all frames are hot", result.Frames, result.HotFrames)
	wantContent(t, path, raw)
}

// TestLayoutWorkers: the image does not depend on timing.
func TestLayoutWorkers(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 3000*PageBytes)
	opt := PackOptions{WorkingSet: randomWorkingSet(r, 3000), UUID: fixedUUID, CreatedAt: fixedTime, Workers: 1}
	path, _ := packBytes(t, raw, opt)
	want := readFile(t, path)
	for opt.Workers = 2; opt.Workers < 6; opt.Workers++ {
		path, _ := packBytes(t, raw, opt)
		wantBytes(t, "image", readFile(t, path), want)
	}
}

// changingSource is memory of which some pages are others when they are read for
// the second time, and the file looks unchanged.
type changingSource struct {
	*rawFile
	page int64
	seen bool
}

func (s *changingSource) ReadAt(dst []byte, rawOff int64) (int, error) {
	n, err := s.rawFile.ReadAt(dst, rawOff)
	if in := s.page*PageBytes - rawOff; in >= 0 && in < int64(n) {
		if s.seen {
			dst[in] ^= 1
		}
		s.seen = true
	}
	return n, err
}

// TestLayoutReadsTwice changes a page between its two readings, without a trace.
func TestLayoutReadsTwice(t *testing.T) {
	dir := t.TempDir()
	file, err := openRawFile(writeFile(t, filepath.Join(dir, "mem_file"), textMemory(20)))
	wantNoError(t, err)
	defer file.Close()
	opt := PackOptions{WorkingSet: []PageRun{{5, 1}}, Workers: 1}
	wantNoError(t, opt.normalise())
	for page, class := range map[int64]error{5: ErrChanged, 6: nil} {
		src := &changingSource{rawFile: file, page: page}
		_, err = packSource(t.Context(), src, packTarget{path: filepath.Join(dir, fmt.Sprint(page)), like: file.opened}, opt)
		if class == nil {
			wantNoError(t, err)
			continue
		}
		wantClass(t, err, class)
	}
	wantNames(t, dir, "6", "mem_file")
}

// TestAcceptRefuses: an image that the caller does not accept does not appear.
func TestAcceptRefuses(t *testing.T) {
	dir := t.TempDir()
	raw := textMemory(20)
	src := writeFile(t, filepath.Join(dir, "mem_file"), raw)
	opt := PackOptions{Accept: func(h *Header) error {
		wantEqual(t, "digest", h.Digest, naiveDigest(raw))
		wantEqual(t, "size", h.RawBytes, int64(len(raw)))
		return ErrLimit
	}}
	_, err := PackFile(t.Context(), src, filepath.Join(dir, "image.sabre"), opt)
	wantClass(t, err, ErrLimit)
	wantNames(t, dir, "mem_file")
}

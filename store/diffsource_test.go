package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sabrefs/tests/seedtest"
)

// diffFixture is a diff in files, and what it stands for.
type diffFixture struct {
	parent, want []byte
	present      []bool
	diff, bitmap string // paths; the bitmap says what the holes of the diff say too
}

// newDiff makes a diff of which at least one page is absent, unless it is empty.
func newDiff(tb testing.TB, r *rand.Rand, parent []byte, lenBytes int) diffFixture {
	tb.Helper()
	d := diffFixture{parent: parent, want: make([]byte, lenBytes), present: make([]bool, pagesOf(int64(lenBytes)))}
	copy(d.want, parent)
	dir := tb.TempDir()
	d.diff = filepath.Join(dir, "diff")
	file, err := os.Create(d.diff)
	wantNoError(tb, err)
	defer file.Close()
	wantNoError(tb, file.Truncate(int64(lenBytes)))
	perMille := r.IntN(min(1000, 1+60_000/(1+len(d.present)))) // few of many pages
	for page := range d.present {
		if d.present[page] = r.IntN(1000) < perMille; !d.present[page] || page == len(d.present)/2 {
			d.present[page] = false
			continue
		}
		raw := d.want[page*PageBytes : min((page+1)*PageBytes, lenBytes)]
		if clear(raw); r.IntN(3) > 0 {
			fillPage(r, raw, r.IntN(100))
		}
		_, err := file.WriteAt(raw, int64(page)*PageBytes)
		wantNoError(tb, err)
	}
	d.bitmap = writeFile(tb, filepath.Join(dir, "bitmap"), bitmapOf(d.present, r.IntN(2) == 0))
	return d
}

// bitmapOf writes bits as KVM does, or as few bytes as hold them.
func bitmapOf(bits []bool, inWords bool) []byte {
	b := make([]byte, (len(bits)+63)/64*8)
	for i, bit := range bits {
		if bit {
			b[i/8] |= 1 << (i % 8)
		}
	}
	if !inWords {
		b = b[:(len(bits)+7)/8]
	}
	return b
}

// openDiffOver opens a diff, and the memory file under it as a VMM wrote it.
func openDiffOver(tb testing.TB, diff, bitmap string, parent []byte) (*diffSource, error) {
	tb.Helper()
	under, err := openRawFile(writeFile(tb, filepath.Join(tb.TempDir(), "parent"), parent))
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, under.Close()) })
	src, err := openDiff(diff, bitmap, under)
	if err == nil {
		tb.Cleanup(func() { wantNoError(tb, src.Close()) })
	}
	return src, err
}

// TestDiffMetamorphic reads random diffs over random parents, in both forms and
// also of memory that grew, and compares with the same done in plain memory.
func TestDiffMetamorphic(t *testing.T) {
	r := seedtest.Rand(t)
	for range 25 {
		parent := guestMemory(r, r.IntN(60*PageBytes))
		lenBytes := len(parent)
		if r.IntN(2) == 0 {
			lenBytes += r.IntN(20 * PageBytes)
		}
		d := newDiff(t, r, parent, lenBytes)
		for _, bitmap := range []string{"", d.bitmap} {
			src, err := openDiffOver(t, d.diff, bitmap, parent)
			wantNoError(t, err)
			wantReadsAsDiff(t, r, src, d)
		}
	}
}

func wantReadsAsDiff(t *testing.T, r *rand.Rand, src *diffSource, d diffFixture) {
	t.Helper()
	what := fmt.Sprintf("%d bytes over %d", len(d.want), len(d.parent))
	wantEqual(t, "size", src.rawBytes(), int64(len(d.want)))
	wantEqual(t, "name", src.name(), d.diff)
	wantNoError(t, src.unchanged())
	for page, present := range d.present {
		wantEqual(t, fmt.Sprintf("%s: page %d is present", what, page), src.present(int64(page)), present)
	}
	wantEqual(t, what+": the page behind the end is present", src.present(int64(len(d.present))), false)
	wantEqual(t, what+": a chunk is touched", src.touches(0), slices.Contains(d.present, true))
	wantEqual(t, what+": the chunk behind the end is touched", src.touches(1), false)
	for range 30 {
		wantReadAt(t, what, src, d.want, r.IntN(len(d.want)+100), r.IntN(10*PageBytes))
	}
	wantReadAt(t, what, src, d.want, 0, len(d.want))
	for range 30 {
		rawOff := r.Int64N(int64(len(d.want)) + 1)
		for _, rawOff := range []int64{rawOff, d.next(rawOff, true) + 1, d.next(rawOff, false) + 1} {
			data, err := src.nextData(rawOff)
			wantNoError(t, err)
			wantEqual(t, fmt.Sprintf("%s: data from %d on", what, rawOff), data, d.next(min(rawOff, int64(len(d.want))), true))
			hole, err := src.nextHole(rawOff)
			wantNoError(t, err)
			wantEqual(t, fmt.Sprintf("%s: hole from %d on", what, rawOff), hole, d.next(min(rawOff, int64(len(d.want))), false))
		}
	}
	wantSegmentsCover(t, what, src, d.want)
}

func wantReadAt(t *testing.T, what string, src io.ReaderAt, want []byte, rawOff, lenBytes int) {
	t.Helper()
	dst := bytes.Repeat([]byte{0xa5}, lenBytes)
	n, err := src.ReadAt(dst, int64(rawOff))
	want = want[min(rawOff, len(want)):min(rawOff+lenBytes, len(want))]
	what = fmt.Sprintf("%s: %d bytes at %d", what, lenBytes, rawOff)
	wantBytes(t, what, dst[:n], want)
	if n < lenBytes {
		wantClass(t, err, io.EOF)
	} else if err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%s: %v", what, err)
	}
}

// next finds data, which is what is present and all of the parent, or a hole.
func (d *diffFixture) next(rawOff int64, data bool) int64 {
	end, parentEnd := int64(len(d.want)), int64(len(d.parent))
	for rawOff < end && (d.present[rawOff/PageBytes] || rawOff < parentEnd) != data {
		nextOff := (rawOff/PageBytes + 1) * PageBytes
		if rawOff < parentEnd {
			nextOff = min(nextOff, parentEnd)
		}
		rawOff = min(nextOff, end)
	}
	return rawOff
}

// wantSegmentsCover reads the source as packing does.
func wantSegmentsCover(t *testing.T, what string, src memorySource, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	err := forEachSegment(t.Context(), src, 7, func(firstPage, pageCount int64) error {
		part := got[firstPage*PageBytes : min((firstPage+pageCount)*PageBytes, int64(len(got)))]
		_, err := src.ReadAt(part, firstPage*PageBytes)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	})
	wantNoError(t, err)
	wantBytes(t, what+": segments", got, want)
}

// TestDiffOfChunks: the chunks that a diff does not touch are known, also behind
// the end of the parent.
func TestDiffOfChunks(t *testing.T) {
	const chunks = 5
	path := filepath.Join(t.TempDir(), "diff")
	file, err := os.Create(path)
	wantNoError(t, err)
	defer file.Close()
	wantNoError(t, file.Truncate(chunks*chunkRawBytes-5*PageBytes))
	for _, page := range []int64{chunkPages, 3*chunkPages - 1} {
		_, err = file.WriteAt(make([]byte, PageBytes), page*PageBytes)
		wantNoError(t, err)
	}
	src, err := openDiffOver(t, path, "", textMemory(3))
	wantNoError(t, err)
	for chunk, want := range []bool{false, true, true, false, false, false} {
		wantEqual(t, fmt.Sprintf("chunk %d is touched", chunk), src.touches(int64(chunk)), want)
	}
	data, err := src.nextData(3 * PageBytes)
	wantNoError(t, err)
	wantEqual(t, "first data behind the parent", data, chunkRawBytes)
}

// TestDiffOverHoles: a parent that ends with a hole, inside a page, has no data there.
func TestDiffOverHoles(t *testing.T) {
	sparse := func(name string, lenBytes, page int64) string {
		path := filepath.Join(t.TempDir(), name)
		file, err := os.Create(path)
		wantNoError(t, err)
		defer file.Close()
		wantNoError(t, file.Truncate(lenBytes))
		_, err = file.WriteAt(textMemory(1), page*PageBytes)
		wantNoError(t, err)
		return path
	}
	under, err := openRawFile(sparse("parent", 10*PageBytes+100, 2))
	wantNoError(t, err)
	defer under.Close()
	src, err := openDiff(sparse("diff", 20*PageBytes, 15), "", under)
	wantNoError(t, err)
	defer src.Close()
	for rawOff, want := range map[int64]int64{0: 2, 3: 15, 10: 15, 11: 15, 16: 20} {
		data, err := src.nextData(rawOff * PageBytes)
		wantNoError(t, err)
		wantEqual(t, fmt.Sprintf("data from page %d on", rawOff), data, want*PageBytes)
	}
	want := make([]byte, 20*PageBytes)
	copy(want[2*PageBytes:], textMemory(1))
	copy(want[15*PageBytes:], textMemory(1))
	wantReadAt(t, "diff over holes", src, want, 0, len(want))
}

// countedSource counts what it is asked for.
type countedSource struct {
	memorySource
	seeks, reads int
}

func (c *countedSource) nextData(rawOff int64) (int64, error) {
	c.seeks++
	return c.memorySource.nextData(rawOff)
}

func (c *countedSource) nextHole(rawOff int64) (int64, error) {
	c.seeks++
	return c.memorySource.nextHole(rawOff)
}

func (c *countedSource) ReadAt(dst []byte, rawOff int64) (int, error) {
	c.reads++
	return c.memorySource.ReadAt(dst, rawOff)
}

// TestDiffAsksOnce: a diff of every other page asks its parent for its holes once,
// and not from every page to the end, and reads every run with one call.
func TestDiffAsksOnce(t *testing.T) {
	const pages = 200
	parent := writeFile(t, filepath.Join(t.TempDir(), "parent"), textMemory(pages))
	under, err := openRawFile(parent)
	wantNoError(t, err)
	defer under.Close()
	bits := make([]bool, pages)
	for page := range bits {
		bits[page] = page%4 == 0
	}
	counted := &countedSource{memorySource: under}
	src, err := openDiff(parent, writeFile(t, filepath.Join(t.TempDir(), "bitmap"), bitmapOf(bits, false)), counted)
	wantNoError(t, err)
	defer src.Close()
	wantSegmentsCover(t, "every fourth page", src, textMemory(pages))
	if counted.seeks > 4 {
		t.Errorf("the parent was asked %d times where data and holes are", counted.seeks)
	}
	counted.reads = 0
	wantReadAt(t, "every fourth page", src, textMemory(pages), 0, pages*PageBytes)
	wantEqual(t, "reads of the parent", counted.reads, pages/4)
}

// TestDiffRefusals: what does not say for every page whose it is.
func TestDiffRefusals(t *testing.T) {
	const pages = 70
	parent := textMemory(pages)
	bits := bitmapOf(make([]bool, pages), true)
	withBit := func(i int) []byte {
		b := bytes.Clone(bits)
		b[i/8] |= 1 << (i % 8)
		return b
	}
	dir := t.TempDir()
	full := writeFile(t, filepath.Join(dir, "full"), parent)
	short := writeFile(t, filepath.Join(dir, "short"), parent[:len(parent)-1])
	for name, c := range map[string]struct {
		diff   string
		bitmap []byte
		class  error
		says   string
	}{
		"without holes":         {full, nil, ErrOption, full + ": invalid option: it has no holes"},
		"smaller":               {short, nil, ErrParent, "memory may grow, but not shrink"},
		"smaller, with bitmap":  {short, bits, ErrParent, "memory may grow, but not shrink"},
		"empty bitmap":          {full, []byte{}, ErrOption, "0 bytes, but the bitmap of 70 pages has 9, or 16"},
		"bitmap a byte short":   {full, bits[:8], ErrOption, "8 bytes, but the bitmap of 70 pages has 9, or 16"},
		"bitmap between words":  {full, bits[:12], ErrOption, "12 bytes, but"},
		"bitmap a word longer":  {full, append(bytes.Clone(bits), make([]byte, 8)...), ErrOption, "24 bytes, but"},
		"bit behind the end":    {full, withBit(pages), ErrOption, "at offset 8: invalid option: the bitmap has page 70, but there are 70 pages"},
		"bit in the last byte":  {full, withBit(127), ErrOption, "at offset 15: invalid option: the bitmap has page 127"},
		"a missing diff":        {filepath.Join(dir, "missing"), nil, os.ErrNotExist, "missing"},
		"a directory as a diff": {dir, nil, ErrOption, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			bitmap := ""
			if c.bitmap != nil {
				bitmap = writeFile(t, filepath.Join(t.TempDir(), "bitmap"), c.bitmap)
			}
			_, err := openDiffOver(t, c.diff, bitmap, parent)
			wantClass(t, err, c.class)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %q, want it to say %q", err, c.says)
			}
		})
	}
	_, err := openDiffOver(t, full, dir, parent)
	wantClass(t, err, ErrOption)
	src, err := openDiffOver(t, full, writeFile(t, filepath.Join(dir, "good"), withBit(pages-1)), parent)
	wantNoError(t, err)
	wantEqual(t, "the last page is present", src.present(pages-1), true)
}

// extents are data in a file of lenBytes, each from its first to its last offset.
type extents struct {
	lenBytes int64
	data     [][2]int64
}

func (e extents) rawBytes() int64 { return e.lenBytes }

func (e extents) nextData(rawOff int64) (int64, error) {
	for _, x := range e.data {
		if rawOff < x[1] {
			return max(rawOff, x[0]), nil
		}
	}
	return e.lenBytes, nil
}

func (e extents) nextHole(rawOff int64) (int64, error) {
	for _, x := range e.data {
		if x[0] <= rawOff && rawOff < x[1] {
			return x[1], nil
		}
	}
	return rawOff, nil
}

// TestDiffHolesInPages: filesystems with blocks smaller than a page have holes that
// say nothing about the page.
func TestDiffHolesInPages(t *testing.T) {
	const size = 10*PageBytes + 100
	for name, c := range map[string]struct {
		data [][2]int64
		says string
	}{
		"data begins inside":  {[][2]int64{{0, PageBytes}, {5*PageBytes + 1024, 6 * PageBytes}}, "a hole ends inside a page"},
		"data ends inside":    {[][2]int64{{0, 2 * PageBytes}, {5 * PageBytes, 7*PageBytes - 1024}}, "a hole begins inside a page"},
		"data ends near size": {[][2]int64{{10 * PageBytes, size - 1}}, "a hole begins inside a page"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pagesWithData(extents{size, c.data})
			wantClass(t, err, ErrOption)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %q, want it to say %q", err, c.says)
			}
			f, ok := errors.AsType[*finding](err)
			wantEqual(t, "it has an offset", ok && f.packedOff > 0, true)
		})
	}
	set, err := pagesWithData(extents{size, [][2]int64{{PageBytes, 2 * PageBytes}, {9 * PageBytes, size}}})
	wantNoError(t, err)
	for page := range int64(11) {
		wantEqual(t, fmt.Sprintf("page %d is present", page), set.has(page), page == 1 || page >= 9)
	}
	_, err = pagesWithData(extents{size, [][2]int64{{0, size}}})
	wantClass(t, err, ErrOption)
	set, err = pagesWithData(extents{0, nil})
	wantNoError(t, err)
	wantEqual(t, "words for no pages", len(set), 0)
}

// TestDiffChanged: a diff or a parent that is written to meanwhile is noticed.
func TestDiffChanged(t *testing.T) {
	r := seedtest.Fixed(1)
	d := newDiff(t, r, textMemory(20), 25*PageBytes)
	src, err := openDiffOver(t, d.diff, "", d.parent)
	wantNoError(t, err)
	file, err := os.OpenFile(d.diff, os.O_WRONLY, 0)
	wantNoError(t, err)
	defer file.Close()
	_, err = file.WriteAt([]byte{1}, 0)
	wantNoError(t, err)
	wantClass(t, src.unchanged(), ErrChanged)

	src, err = openDiffOver(t, d.diff, "", d.parent)
	wantNoError(t, err)
	wantNoError(t, src.unchanged())
	wantNoError(t, os.Truncate(src.parent.name(), 0))
	wantClass(t, src.unchanged(), ErrChanged)
	_, err = src.ReadAt(make([]byte, len(d.want)), 0)
	wantClass(t, err, io.EOF)
}

// TestPageSet compares ranges and searches with the same bit by bit.
func TestPageSet(t *testing.T) {
	r := seedtest.Rand(t)
	for range 200 {
		n := 1 + r.Int64N(300)
		set, bits := newPageSet(n), make([]bool, n)
		for range r.IntN(6) {
			first := r.Int64N(n)
			end := first + r.Int64N(n-first+1)
			set.addRange(first, end)
			for i := first; i < end; i++ {
				bits[i] = true
			}
		}
		words := make([]byte, 8*len(set))
		for i, word := range set {
			binary.LittleEndian.PutUint64(words[8*i:], word)
		}
		wantBytes(t, "bits", words, bitmapOf(bits, true))
		page, end, in := r.Int64N(n), r.Int64N(n+1), r.IntN(2) == 0
		want := max(page, end)
		for i := page; i < end; i++ {
			if bits[i] == in {
				want = i
				break
			}
		}
		if page < end {
			wantEqual(t, fmt.Sprintf("next from %d to %d", page, end), set.next(page, end, in), want)
		}
	}
}

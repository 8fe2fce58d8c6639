package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

// diffSource is the memory that a diff and its parent make together. A diff is a
// memory file of full size in which a VMM wrote only the pages that changed: a
// page that is present is the diff's, also if it is zero; one that is absent is
// the parent's, or zero behind the parent's end.
//
// Which pages are present is one bit a page: a list of extents would take
// gigabytes if every second page of a large guest changed.
//
// The parent belongs to whoever opened it; Close leaves it open.
type diffSource struct {
	*rawFile
	parent memorySource
	pages  pageSet

	// Runs of pages are often short, and what the sources are asked for lies far
	// behind them: without a memory each run would look for it again.
	diffData, diffHole, parentData, parentHole seekMemory
}

// openDiff opens a diff. If bitmapPath is empty, the pages are present where the
// file has data, as in what Firecracker writes. Otherwise that file says which
// they are: one bit a page, the lowest bit of the first byte for page 0, as in
// the dirty log of KVM; holes in the diff are zeros then.
//
// It fails with ErrOption if it cannot be known which pages are present, and with
// ErrParent if the diff is smaller than the parent.
func openDiff(path, bitmapPath string, parent memorySource) (*diffSource, error) {
	file, err := openRawFile(path)
	if err != nil {
		return nil, err
	}
	s := &diffSource{rawFile: file, parent: parent}
	if err := s.findPages(bitmapPath); err != nil {
		return nil, errors.Join(inFile(path, err), file.Close())
	}
	s.diffData.seek, s.diffHole.seek = file.nextData, file.nextHole
	s.parentData.seek, s.parentHole.seek = s.nextParentData, s.nextParentHole
	return s, nil
}

// findPages sets which pages are present.
func (s *diffSource) findPages(bitmapPath string) (err error) {
	if s.rawBytes() < s.parent.rawBytes() {
		return findingAt(ErrParent, wholeFile, "the diff has %d bytes and its parent %s has %d: memory may grow, but not shrink",
			s.rawBytes(), s.parent.name(), s.parent.rawBytes())
	}
	if bitmapPath != "" {
		s.pages, err = readPageBitmap(bitmapPath, pagesOf(s.rawBytes()))
		return err
	}
	s.pages, err = pagesWithData(s.rawFile)
	return err
}

// holeFinder is the part of a memory source that knows about holes.
type holeFinder interface {
	rawBytes() int64
	nextData(rawOff int64) (int64, error)
	nextHole(rawOff int64) (int64, error)
}

// pagesWithData returns the pages for which a sparse file has data.
func pagesWithData(f holeFinder) (pageSet, error) {
	rawBytes, present := f.rawBytes(), int64(0)
	set := newPageSet(pagesOf(rawBytes))
	for hole := int64(0); hole < rawBytes; {
		data, err := f.nextData(hole)
		if err != nil {
			return nil, err
		}
		if data >= rawBytes {
			break
		}
		if hole, err = f.nextHole(data); err != nil {
			return nil, err
		}
		if err := checkExtent(data, hole, rawBytes); err != nil {
			return nil, err
		}
		set.addRange(data/PageBytes, pagesOf(hole))
		present += pagesOf(hole) - data/PageBytes
	}
	if present > 0 && present == pagesOf(rawBytes) {
		return nil, findingAt(ErrOption, wholeFile,
			"it has no holes: it is a full memory file, or lost its holes on the way; pack it without --diff, or give the bitmap")
	}
	return set, nil
}

// checkExtent refuses data that is not whole pages: the rest of such a page is
// neither the diff's nor the parent's.
func checkExtent(data, hole, rawBytes int64) error {
	const detail = "a hole %s inside a page, which is then neither in the diff nor in the parent; give the bitmap"
	switch {
	case hole <= data:
		return findingAt(ErrChanged, data, "data became a hole while it was read")
	case data%PageBytes != 0:
		return findingAt(ErrOption, data, detail, "ends")
	case hole%PageBytes != 0 && hole != rawBytes:
		return findingAt(ErrOption, hole, detail, "begins")
	}
	return nil
}

// readPageBitmap reads which of so many pages are present.
func readPageBitmap(path string, pageCount int64) (pageSet, error) {
	file, err := openRegular(path, ErrOption)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	set := newPageSet(pageCount)
	b := make([]byte, 8*len(set))
	if size, lenBytes := info.Size(), (pageCount+7)/8; size != lenBytes && size != int64(len(b)) {
		return nil, bitmapError(path, wholeFile, "%d bytes, but the bitmap of %d pages has %d, or %d in words of 64 bits",
			size, pageCount, lenBytes, len(b))
	}
	if _, err := io.ReadFull(file, b[:info.Size()]); err != nil {
		return nil, fmt.Errorf("%s: reading the bitmap: %w", path, err)
	}
	for i := range set {
		set[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	if end := set.limit(); set.next(pageCount, end, true) < end {
		page := set.next(pageCount, end, true)
		return nil, bitmapError(path, page/8, "the bitmap has page %d, but there are %d pages", page, pageCount)
	}
	return set, nil
}

func bitmapError(path string, packedOff int64, format string, args ...any) error {
	return &FileError{Path: path, PackedOff: packedOff, Err: ErrOption, Detail: fmt.Sprintf(format, args...)}
}

// present reports whether a page is the diff's, and not the parent's.
func (s *diffSource) present(page int64) bool {
	return page < pagesOf(s.rawBytes()) && s.pages.has(page)
}

// touches reports whether any page of a chunk of the page map is present. Without
// one, the chunk has what the parent has there, and zeros behind the parent's end.
func (s *diffSource) touches(chunk int64) bool {
	first, end := chunk*chunkPages, min((chunk+1)*chunkPages, pagesOf(s.rawBytes()))
	return first < end && s.pages.next(first, end, true) < end
}

// run returns whether the page at rawOff is present, and where the run of pages
// of which the same is true ends.
func (s *diffSource) run(rawOff int64) (present bool, endRawOff int64) {
	page := rawOff / PageBytes
	present = s.pages.has(page)
	end := s.pages.next(page, pagesOf(s.rawBytes()), !present)
	return present, min(end*PageBytes, s.rawBytes())
}

// ReadAt implements io.ReaderAt: it reads each run from whom it belongs to.
func (s *diffSource) ReadAt(dst []byte, rawOff int64) (int, error) {
	if rawOff < 0 {
		return 0, findingAt(ErrOption, wholeFile, "read at %d", rawOff)
	}
	n := 0
	for n < len(dst) && rawOff < s.rawBytes() {
		present, end := s.run(rawOff)
		part := dst[n:min(int64(len(dst)), int64(n)+end-rawOff)]
		read, err := s.readRun(part, rawOff, present)
		n += read
		if read < len(part) {
			return n, err
		}
		rawOff += int64(read)
	}
	if n < len(dst) {
		return n, io.EOF
	}
	return n, nil
}

func (s *diffSource) readRun(dst []byte, rawOff int64, present bool) (int, error) {
	if present {
		return s.rawFile.ReadAt(dst, rawOff)
	}
	inParent := min(max(0, s.parent.rawBytes()-rawOff), int64(len(dst)))
	if inParent > 0 {
		n, err := s.parent.ReadAt(dst[:inParent], rawOff)
		if int64(n) < inParent {
			return n, err
		}
	}
	clear(dst[inParent:])
	return len(dst), nil
}

func (s *diffSource) nextData(rawOff int64) (int64, error) {
	return s.seekRuns(rawOff, &s.diffData, &s.parentData)
}

func (s *diffSource) nextHole(rawOff int64) (int64, error) {
	return s.seekRuns(rawOff, &s.diffHole, &s.parentHole)
}

// seekRuns asks, run by run, whom the run belongs to.
func (s *diffSource) seekRuns(rawOff int64, diff, parent *seekMemory) (int64, error) {
	for rawOff < s.rawBytes() {
		present, end := s.run(rawOff)
		of := parent
		if present {
			of = diff
		}
		found, err := of.next(rawOff)
		if err != nil || found < end {
			return found, err
		}
		rawOff = end
	}
	return s.rawBytes(), nil
}

// nextParentData and nextParentHole know that there is no end, but a hole, where
// the parent ends before the diff.
func (s *diffSource) nextParentData(rawOff int64) (int64, error) {
	if rawOff < s.parent.rawBytes() {
		data, err := s.parent.nextData(rawOff)
		if err != nil || data < s.parent.rawBytes() {
			return data, err
		}
	}
	return s.rawBytes(), nil
}

func (s *diffSource) nextParentHole(rawOff int64) (int64, error) {
	if rawOff < s.parent.rawBytes() {
		return s.parent.nextHole(rawOff)
	}
	return rawOff, nil
}

// unchanged looks at the diff and at the parent. The bitmap was read once.
func (s *diffSource) unchanged() error {
	if err := s.rawFile.unchanged(); err != nil {
		return err
	}
	return s.parent.unchanged()
}

// seekMemory remembers the last answer to one of nextData and nextHole: it is the
// same for all offsets from the one that was asked for to the one that was found.
type seekMemory struct {
	seek func(rawOff int64) (int64, error)

	mu           sync.Mutex
	known        bool
	asked, found int64
}

func (m *seekMemory) next(rawOff int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && m.asked <= rawOff && rawOff <= m.found {
		return m.found, nil
	}
	found, err := m.seek(rawOff)
	m.asked, m.found, m.known = rawOff, found, err == nil
	return found, err
}

// pageSet has one bit a page.
type pageSet []uint64

func newPageSet(pageCount int64) pageSet { return make(pageSet, (pageCount+63)/64) }

// limit is the number of pages for which there is a bit.
func (p pageSet) limit() int64 { return int64(len(p)) * 64 }

func (p pageSet) has(page int64) bool { return p[page/64]&(1<<(page%64)) != 0 }

func (p pageSet) addRange(first, end int64) {
	for first < end {
		n := min(64-first%64, end-first)
		p[first/64] |= (^uint64(0) >> (64 - n)) << (first % 64)
		first += n
	}
}

// next returns the first page, from page on, that is in the set, or that is not,
// and end if there is none before it.
func (p pageSet) next(page, end int64, in bool) int64 {
	for page < end {
		word := p[page/64]
		if !in {
			word = ^word
		}
		if word >>= page % 64; word != 0 {
			return min(page+int64(bits.TrailingZeros64(word)), end)
		}
		page = (page/64 + 1) * 64
	}
	return end
}

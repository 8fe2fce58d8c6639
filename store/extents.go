package store

import "encoding/binary"

// NextData returns the raw offset, at rawOff or after it, of the first byte
// that lies in a page which is not zero, or RawBytes if there is none. Holes
// are as SEEK_HOLE reports them: whole pages.
func (img *Image) NextData(rawOff int64) (int64, error) { return img.seekKind(rawOff, true) }

// NextHole returns the raw offset, at rawOff or after it, of the first byte
// that lies in a zero page, or RawBytes if there is none.
func (img *Image) NextHole(rawOff int64) (int64, error) { return img.seekKind(rawOff, false) }

// seekKind finds the first page from rawOff on that is data, or that is not.
func (img *Image) seekKind(rawOff int64, data bool) (int64, error) {
	if rawOff < 0 {
		return 0, findingAt(ErrOption, wholeFile, "seek to %d", rawOff)
	}
	page, count := rawOff/PageBytes, img.header.PageCount()
	err := guard(func() error {
		for found := false; page < count && !found; {
			var err error
			if page, found, err = img.seekInChunk(page, data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, img.blame(err)
	}
	return min(max(rawOff, page*PageBytes), img.header.RawBytes), nil
}

// seekInChunk looks for a page that is data (or a hole) from page to the end
// of its chunk. It returns that page, or the first page of the next chunk and
// false. It must run under guard.
func (img *Image) seekInChunk(page int64, data bool) (int64, bool, error) {
	end := (page/chunkPages + 1) * chunkPages
	kind, owner, entries, err := img.chunk(page / chunkPages)
	switch {
	case err != nil:
		return 0, false, inFile(img.path, err)
	case kind == chunkZero && data:
		return end, false, nil
	case kind == chunkZero:
		return page, true, nil
	case entries == nil: // what is inherited is zero where it is in the parent
		return owner.seekInChunk(page, data)
	}
	for ; page < end; page++ {
		entry := binary.LittleEndian.Uint32(entries[page%chunkPages*mapEntryBytes:])
		if (entry != zeroPageEntry) == data {
			return page, true, nil
		}
	}
	return end, false, nil
}

package store

import (
	"context"
	"errors"
)

// diffOf is a diff over a parent, of which packing reads only the pages that the diff
// has: what the others are, the digests of the parent say.
type diffOf struct {
	*diffSource
	cache   *imageSource // reads the parent
	known   *equalPages  // of the parent
	digests []Digest     // of the parent's chunks; nil if it does not say
}

func openDiffOf(ctx context.Context, path, bitmapPath string, parent *Image, known *equalPages) (*diffOf, error) {
	src, err := newImageSource(ctx, parent)
	if err != nil {
		return nil, err
	}
	diff, err := openDiff(path, bitmapPath, src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	d := &diffOf{diffSource: diff, cache: src, known: known}
	if d.digests, err = parent.chunkDigests(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes the diff; the parent stays open.
func (d *diffOf) Close() error { return errors.Join(d.diffSource.Close(), d.cache.Close()) }

// fillSegment implements digestedSource.
func (d *diffOf) fillSegment(s *segment) error {
	inParent := max(0, min(s.pageCount, d.known.parent.header.PageCount()-s.firstPage))
	if err := d.known.digestPages(s.firstPage, s.zero[:inParent], s.digests[:inParent]); err != nil {
		return err
	}
	for i := inParent; i < s.pageCount; i++ {
		s.zero[i] = true
	}
	for i := int64(0); i < s.pageCount; {
		count := int64(0)
		for i+count < s.pageCount && d.present(s.firstPage+i+count) {
			count++
		}
		if count == 0 {
			i++
			continue
		}
		if err := s.readPages(d.diffSource, i, count); err != nil {
			return err
		}
		i += count
	}
	return nil
}

// isParents reports whether all of a chunk is the parent's chunk, whose digest is
// known.
func (d *diffOf) isParents(chunk int64) bool {
	if chunk >= int64(len(d.digests)) || d.touches(chunk) {
		return false
	}
	pages, parentPages := pagesOf(d.rawBytes()), d.known.parent.header.PageCount()
	return pages == parentPages || (chunk+1)*chunkPages <= parentPages
}

// nextData leaves out chunks that are the parent's.
func (d *diffOf) nextData(rawOff int64) (int64, error) {
	for {
		found, err := d.diffSource.nextData(rawOff)
		if err != nil || found >= d.rawBytes() || !d.isParents(found/chunkRawBytes) {
			return found, err
		}
		rawOff = min((found/chunkRawBytes+1)*chunkRawBytes, d.rawBytes())
	}
}

// nextHole is where the data ends, or a chunk begins that is the parent's.
func (d *diffOf) nextHole(rawOff int64) (int64, error) {
	found, err := d.diffSource.nextHole(rawOff)
	if err != nil {
		return 0, err
	}
	for chunk := rawOff/chunkRawBytes + 1; chunk*chunkRawBytes < found; chunk++ {
		if d.isParents(chunk) {
			return chunk * chunkRawBytes, nil
		}
	}
	return found, nil
}

// inheritChunks puts the parent's chunks before a page down whole, where the source
// is a diff that does not touch them.
func (p *pipeline) inheritChunks(page int64) error {
	if p.diff == nil {
		return nil
	}
	for p.digester.nextPage < page {
		chunk := p.digester.nextPage / chunkPages
		if p.digester.nextPage%chunkPages == 0 && p.diff.isParents(chunk) {
			if err := p.inheritChunk(chunk); err != nil {
				return err
			}
			continue
		}
		p.digester.addZeros(min(page, (chunk+1)*chunkPages))
	}
	return nil
}

func (p *pipeline) inheritChunk(chunk int64) error {
	first := chunk * chunkPages
	refs := make([]PageRef, min(chunkPages, p.diff.known.parent.header.PageCount()-first))
	if err := p.diff.known.parent.Pages(first, refs); err != nil {
		return err
	}
	p.digester.addChunk(p.diff.digests[chunk])
	for i, ref := range refs {
		page := first + int64(i)
		if ref.Kind == PageZero || p.hot != nil && p.hot.placed.has(page) {
			continue
		}
		p.inherited++
		if err := p.w.pages.set(page, ref.encode(p.w.header.SlotBits)); err != nil {
			return err
		}
	}
	return nil
}

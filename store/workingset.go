package store

import "encoding/binary"

// PageRun is a run of consecutive guest pages.
type PageRun struct {
	FirstPage uint32
	PageCount uint32
}

// pageRunBytes is the size of an encoded run; a working set of n runs has
// 8*n bytes.
const pageRunBytes = 8

func encodeWorkingSet(runs []PageRun) []byte {
	b := make([]byte, 0, len(runs)*pageRunBytes)
	for _, r := range runs {
		b = binary.LittleEndian.AppendUint32(b, r.FirstPage)
		b = binary.LittleEndian.AppendUint32(b, r.PageCount)
	}
	return b
}

// decodeWorkingSet reads the runs of a working set, in first-touch order, and
// proves that each lies within the image. A page may occur once only, which
// bounds the sum of the runs; that too is checked.
func decodeWorkingSet(b []byte, pageCount int64) ([]PageRun, error) {
	if len(b)%pageRunBytes != 0 {
		return nil, corruptAt(wholeFile, "working set of %d bytes", len(b))
	}
	runs := make([]PageRun, 0, len(b)/pageRunBytes)
	var total int64
	for ; len(b) > 0; b = b[pageRunBytes:] {
		r := PageRun{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		if r.PageCount == 0 || int64(r.FirstPage)+int64(r.PageCount) > pageCount {
			return nil, corruptAt(wholeFile, "working set run of %d pages at page %d, the image has %d", r.PageCount, r.FirstPage, pageCount)
		}
		if total += int64(r.PageCount); total > pageCount {
			return nil, corruptAt(wholeFile, "working set of more pages than the image's %d", pageCount)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

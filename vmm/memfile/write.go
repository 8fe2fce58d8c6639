package memfile

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sabrefs/vmm/memory"
)

// Selection says which pages of a memory go into a file.
type Selection struct {
	// Pages has a bit for each page that may go; nil means all.
	Pages []uint64
	// KeepZeros also writes pages of zeros: as the diff of a base needs it.
	KeepZeros bool
	// Occupied knows which pages need not be looked at, for they are zeros; nil
	// means none.
	Occupied *memory.Occupied
}

// mayBeData says whether a page may be other than zero, without touching it.
func (s Selection) mayBeData(page int64) (bool, error) {
	if s.Occupied == nil {
		return true, nil
	}
	return s.Occupied.Page(page)
}

// wants says whether a page belongs into the file.
func (s Selection) wants(page int64, raw []byte) (bool, error) {
	if s.Pages != nil && !has(s.Pages, page) {
		return false, nil
	}
	if s.KeepZeros {
		return true, nil
	}
	occupied, err := s.mayBeData(page)
	return occupied && !isZero(raw), err
}

// Report tells what a memory file has.
type Report struct {
	SizeBytes int64 `json:"size_bytes"`
	// DataBytes are the pages that were written; the rest are holes.
	DataBytes int64 `json:"data_bytes"`
	// Witnesses are pages of a diff with KeepZeros; see the package comment.
	Witnesses []Witness `json:"-"`
}

// Stage writes the selected pages of a memory to a file that Commit will name
// path. The guest must not run meanwhile.
func Stage(ctx context.Context, path string, regions []memory.Region, sel Selection) (*Staged, Report, error) {
	s, err := stage(path)
	if err != nil {
		return nil, Report{}, err
	}
	report, err := fill(ctx, s, regions, sel)
	s, err = s.sealed(err)
	if err != nil {
		return nil, Report{}, err
	}
	if sel.KeepZeros {
		if err = checkHoles(ctx, s.file, report.SizeBytes, sel.Pages); err != nil {
			s, err = s.sealed(err)
		}
	}
	return s, report, err
}

// Write is Stage and Commit.
func Write(ctx context.Context, path string, regions []memory.Region, sel Selection) (Report, error) {
	s, report, err := Stage(ctx, path, regions, sel)
	if err != nil {
		return Report{}, err
	}
	return report, s.Commit()
}

func fill(ctx context.Context, s *Staged, regions []memory.Region, sel Selection) (Report, error) {
	var report Report
	for _, r := range regions {
		report.SizeBytes = r.FileOff + int64(len(r.Bytes))
	}
	if err := s.file.Truncate(report.SizeBytes); err != nil {
		return Report{}, err
	}
	err := memory.Guard(func() error {
		for _, r := range regions {
			n, err := writeRegion(ctx, s.file, r, sel)
			report.DataBytes += n
			if err != nil {
				return err
			}
		}
		if !sel.KeepZeros {
			return nil
		}
		var err error
		report.Witnesses, err = findWitnesses(regions, report.SizeBytes, sel)
		return err
	})
	return report, err
}

// writeRegion writes the selected pages of one region and returns their size.
func writeRegion(ctx context.Context, to io.WriterAt, r memory.Region, sel Selection) (writtenBytes int64, err error) {
	wanted := func(at int) bool {
		wants, wantErr := sel.wants((r.FileOff+int64(at))/pageBytes, r.Bytes[at:at+pageBytes])
		err = errors.Join(err, wantErr)
		return wants
	}
	for start := 0; start < len(r.Bytes); {
		if err := ctx.Err(); err != nil {
			return writtenBytes, err
		}
		// Pieces bound the time between two looks at the context, too.
		piece := r.Bytes[:min(len(r.Bytes), start+runBytes)]
		from, end := nextRun(piece, start, wanted)
		if err != nil {
			return writtenBytes, err
		}
		if _, err := to.WriteAt(r.Bytes[from:end], r.FileOff+int64(from)); err != nil {
			return writtenBytes, fmt.Errorf("writing guest memory at offset %d: %w", r.FileOff+int64(from), err)
		}
		writtenBytes += int64(end - from)
		start = end
	}
	return writtenBytes, nil
}

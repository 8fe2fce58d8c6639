package memfile

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// extent is a part of a file, in bytes.
type extent struct{ start, end int64 }

// nextData returns the first extent of data of a file of sizeBytes bytes, from
// fileOff on; it is empty and at the end if there is none. Ends are rounded
// outwards to pages.
func nextData(f *os.File, fileOff, sizeBytes int64) (extent, error) {
	start, err := f.Seek(fileOff, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) || err == nil && start >= sizeBytes {
		return extent{sizeBytes, sizeBytes}, nil
	}
	if err != nil {
		return extent{}, fmt.Errorf("looking for data at offset %d: %w", fileOff, err)
	}
	end, err := f.Seek(start, unix.SEEK_HOLE)
	if err != nil {
		return extent{}, fmt.Errorf("looking for a hole at offset %d: %w", start, err)
	}
	start = max(fileOff, start&^(pageBytes-1))
	return extent{start, min(sizeBytes, (end+pageBytes-1)&^(pageBytes-1))}, nil
}

// checkHoles compares what the filesystem says is data with the pages that were
// written, a bit for each.
func checkHoles(ctx context.Context, f *os.File, sizeBytes int64, written []uint64) error {
	for page, pageCount := int64(0), sizeBytes/pageBytes; page < pageCount; {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := nextData(f, page*pageBytes, sizeBytes)
		if err != nil {
			return err
		}
		for ; page < data.end/pageBytes; page++ {
			if isData := page*pageBytes >= data.start; isData != has(written, page) {
				return fmt.Errorf("%w: at offset %d", ErrHoles, page*pageBytes)
			}
		}
	}
	return nil
}

func has(bitmap []uint64, page int64) bool {
	return page/64 < int64(len(bitmap)) && bitmap[page/64]>>(page%64)&1 != 0
}

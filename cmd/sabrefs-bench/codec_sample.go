package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	// runPages is how many neighbors a sample takes together: the largest frame.
	// Frames of pages that are not neighbors would compress worse than real ones.
	runPages = maxFrameBytes / pageBytes
)

// samplePages returns the given number of pages of a memory file, or all if there
// are fewer: none of them zero, if distinct all different, in runs that are spread
// evenly over the file.
func samplePages(path string, pageCount int, distinct bool) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	pages, err := pagesWithData(file, distinct)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s: no page that is not zero", path)
	}
	chosen := spreadRuns(pages, pageCount)
	raw := make([]byte, len(chosen)*pageBytes)
	for i, page := range chosen {
		if _, err := file.ReadAt(raw[i*pageBytes:][:pageBytes], page*pageBytes); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// pagesWithData lists the whole pages that are not zero, if distinct only the first of
// equal ones. Two pages of one hash count as equal: a sample may miss a page.
func pagesWithData(in io.Reader, distinct bool) ([]int64, error) {
	seed, seen := maphash.MakeSeed(), map[uint64]struct{}{}
	buf, zero := make([]byte, mib), make([]byte, pageBytes)
	var pages []int64
	for first := int64(0); ; first += mib / pageBytes {
		n, err := io.ReadFull(in, buf)
		for i := 0; i+pageBytes <= n; i += pageBytes {
			page := buf[i : i+pageBytes]
			if bytes.Equal(page, zero) {
				continue
			}
			hash := maphash.Bytes(seed, page)
			if _, known := seen[hash]; known && distinct {
				continue
			}
			seen[hash] = struct{}{}
			pages = append(pages, first+int64(i/pageBytes))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return pages, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// spreadRuns chooses count of the pages, in runs at even distances.
func spreadRuns(pages []int64, count int) []int64 {
	if count >= len(pages) {
		return pages
	}
	runs := (count + runPages - 1) / runPages
	var chosen []int64
	for run := range runs {
		begin := run * len(pages) / runs
		end := min(begin+runPages, (run+1)*len(pages)/runs)
		chosen = append(chosen, pages[begin:end]...)
	}
	return chosen[:min(count, len(chosen))]
}

// sampleFile is where the sample lies for others to read.
func (b *codecBench) sampleFile() string { return filepath.Join(b.dir, "sample") }

func (b *codecBench) writeSample() error {
	const ownerOnly = 0o600 // it is the memory of a guest
	if err := os.WriteFile(b.sampleFile(), b.raw, ownerOnly); err != nil {
		return fmt.Errorf("writing the sample: %w", err)
	}
	return nil
}

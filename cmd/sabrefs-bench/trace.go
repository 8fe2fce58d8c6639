package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sabrefs/prefetch"
	"sabrefs/store"
)

const traceSuffix = prefetch.TraceSuffix

// readTracePages returns the pages of a trace in the order of their first touch.
func readTracePages(path string) ([]uint32, error) {
	trace, err := prefetch.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pages := trace.Pages()
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s: the trace has no pages", path)
	}
	return pages, nil
}

// keepTrace copies a function's trace to where results are kept.
func (r *functionRun) keepTrace() error {
	if r.flags.outDir == "" {
		return nil
	}
	_, err := runTool(context.Background(), "cp", r.tracePath(r.guest), filepath.Join(r.flags.outDir, r.function.Name+traceSuffix))
	return err
}

// workingSet is what a trace means for an image.
type workingSet struct {
	rawBytes      int64 // of the pages
	packedBytes   int64 // of the frames that hold them, in the image with layout
	frameCount    int
	imageBytes    int64 // without layout
	laidOutBytes  int64
	crc           uint32 // of the pages in the order of the trace
	zeroPageCount int
}

func measureWorkingSet(plainImage, laidOutImage string, pages []uint32) (workingSet, error) {
	set := workingSet{rawBytes: int64(len(pages)) * pageBytes}
	plain, err := os.Stat(plainImage)
	if err != nil {
		return set, err
	}
	img, err := store.Open(laidOutImage, store.OpenOptions{})
	if err != nil {
		return set, err
	}
	set.imageBytes, set.laidOutBytes = plain.Size(), img.Header().FileBytes
	return set, errors.Join(set.countFrames(img, pages), img.Close())
}

// countFrames adds up the frames in which the pages are.
func (s *workingSet) countFrames(img *store.Image, pages []uint32) error {
	seen := map[uint32]bool{}
	for _, page := range pages {
		var ref [1]store.PageRef
		if err := img.Pages(int64(page), ref[:]); err != nil {
			return err
		}
		if ref[0].Kind == store.PageZero {
			s.zeroPageCount++
		}
		if ref[0].Kind != store.PageInFrame || seen[ref[0].Frame] {
			continue
		}
		seen[ref[0].Frame] = true
		entry, err := img.Frame(ref[0].Frame)
		if err != nil {
			return err
		}
		s.packedBytes += int64(entry.PackedLen)
	}
	s.frameCount = len(seen)
	return nil
}

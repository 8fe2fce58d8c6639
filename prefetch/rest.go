package prefetch

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

const (
	// backgroundNice is the priority of the thread that pushes what is not in the
	// working set: the lowest.
	backgroundNice = 19
	// restPages is how many pages of the image are planned at a time.
	restPages = 4096
)

// pushRest pushes the pages of the image that are not in the working set and not
// zero, in address order. It runs on a thread of its own, which ends with it, so
// that the low priority stays with it.
func (r *Run) pushRest(ctx context.Context) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice); err != nil {
			r.config.Report(fmt.Errorf("lowering the priority of background prefetch: %w", err))
		}
		result <- r.pushRestHere(ctx)
	}()
	return <-result
}

func (r *Run) pushRestHere(ctx context.Context) (err error) {
	reader, err := r.config.Cache.NewAheadReader(r.config.Image)
	if err != nil {
		return err
	}
	w := worker{run: r, reader: reader, rest: true}
	defer func() { err = errors.Join(err, w.close()) }()
	header := r.config.Image.Header()
	for first := int64(0); first < header.PageCount(); first += restPages {
		pages, err := r.missing(first, min(restPages, header.PageCount()-first))
		if err != nil {
			return err
		}
		batches, err := makePlan(r.config.Image, pages)
		if err != nil {
			return err
		}
		for i := range batches {
			r.config.Gate.yield(ctx, true)
			if err := w.push(ctx, &batches[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing lists the pages of a part of the image that hold data and were not
// pushed.
func (r *Run) missing(firstPage, pageCount int64) ([]uint32, error) {
	refs := make([]store.PageRef, pageCount)
	if err := r.config.Image.Pages(firstPage, refs); err != nil {
		return nil, err
	}
	var pages []uint32
	for i, ref := range refs {
		page := firstPage + int64(i)
		if ref.Kind != store.PageZero && !r.config.Tracker.pushed.has(page) {
			pages = append(pages, uint32(page))
		}
	}
	return pages, nil
}

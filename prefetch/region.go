package prefetch

import (
	"context"
	"errors"

	"sabrefs/store"
)

// PushRegion pushes the pages of a part of the image that were not pushed, zeros too.
// It may be called from any goroutine, while Do runs and after it.
func (r *Run) PushRegion(ctx context.Context, firstPage, pageCount int64) (err error) {
	reader, err := r.config.Cache.NewAheadReader(r.config.Image)
	if err != nil {
		return err
	}
	w := worker{run: r, reader: reader, rest: true}
	defer func() { err = errors.Join(err, w.close()) }()
	pages, err := r.missing(firstPage, pageCount, true)
	if err != nil {
		return err
	}
	return r.pushPages(ctx, &w, pages, false)
}

// pushPages has one worker push pages; patiently means that all demand goes first.
func (r *Run) pushPages(ctx context.Context, w *worker, pages []uint32, patiently bool) error {
	return makePlan(r.config.Image, pages, func(b batch) error {
		r.config.Gate.yield(ctx, patiently)
		return w.push(ctx, &b)
	})
}

// missing lists the pages of a part of the image that were not pushed.
func (r *Run) missing(firstPage, pageCount int64, zeros bool) ([]uint32, error) {
	refs := make([]store.PageRef, pageCount)
	if err := r.config.Image.Pages(firstPage, refs); err != nil {
		return nil, err
	}
	var pages []uint32
	for i, ref := range refs {
		page := firstPage + int64(i)
		if (zeros || ref.Kind != store.PageZero) && !r.config.Tracker.pushed.has(page) {
			pages = append(pages, uint32(page))
		}
	}
	return pages, nil
}

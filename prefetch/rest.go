package prefetch

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// backgroundNice is the priority of the thread that pushes what is not in the
	// working set: the lowest.
	backgroundNice = 19
	// restPages is how many pages of the image are planned at a time.
	restPages = 4096
)

// inBackground runs work on a thread of its own, which ends with it, so that the low
// priority stays with it.
func (r *Run) inBackground(work func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice); err != nil {
			r.config.Report(fmt.Errorf("lowering the priority of background prefetch: %w", err))
		}
		result <- work()
	}()
	return <-result
}

// pushRest pushes the pages of the image that are not in the working set and not
// zero, in address order.
func (r *Run) pushRest(ctx context.Context) (err error) {
	reader, err := r.config.Cache.NewAheadReader(r.config.Image)
	if err != nil {
		return err
	}
	w := worker{run: r, reader: reader, rest: true}
	defer func() { err = errors.Join(err, w.close()) }()
	header := r.config.Image.Header()
	for first := int64(0); first < header.PageCount(); first += restPages {
		pages, err := r.missing(first, min(restPages, header.PageCount()-first), false)
		if err != nil {
			return err
		}
		if err := r.pushPages(ctx, &w, pages, true); err != nil {
			return err
		}
	}
	return nil
}

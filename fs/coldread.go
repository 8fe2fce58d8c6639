package fs

import (
	"context"
	"errors"
	"sync"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// A page outside the working set is as a rule touched alone. Yet the kernel asks for
// megabytes around it: a mapping that is advised to have huge pages, as QEMU's is,
// asks for 2 MiB, whatever the read-ahead. To decode that takes ten times as long as
// the page, and the guest waits for all of it. So while a file has a working set,
// such requests are refused, and the kernel asks again for the page that was touched.
//
// Where that was wrong it is mended. A reader that goes on and on is served all that
// it asks for; and of a region in which several pages were touched the rest is pushed
// in the background, for the kernel does not ask for it a second time.
const (
	// coldRegionPages is the size of a region: what the kernel reads around a fault in
	// a mapping with huge pages.
	coldRegionPages = 512
	// coldTouches is how many pages of a region are touched before the rest is pushed.
	// docs/BENCHMARKS.md has other values.
	coldTouches = 8
	// streamBytes is how much a reader must ask for, piece after piece, until it is
	// taken for one that reads on.
	streamBytes = 8 << 20
	// coldQueueLength bounds the regions that wait; more of them are left to demand.
	coldQueueLength = 64
)

// readStream tells readers of a whole file from page faults.
type readStream struct {
	mu       sync.Mutex
	endOff   int64 // of the latest request; guarded by mu
	lenBytes int64 // of the requests that followed one another up to there; guarded by mu
}

// extend takes note of a request for several pages and reports whether it belongs
// to a stream. Requests of a stream come in nearly the order of their offsets.
func (s *readStream) extend(rawOff, lenBytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	const nearBytes = maxRequestBytes
	if rawOff < s.endOff-nearBytes || rawOff > s.endOff+nearBytes {
		s.lenBytes = 0
	}
	s.lenBytes += lenBytes
	s.endOff = rawOff + lenBytes
	return s.lenBytes > streamBytes
}

// coldTouch counts pages that were touched, by region.
type coldTouch struct {
	mu      sync.Mutex
	touched map[int64]int // guarded by mu
}

// add counts a page and reports whether its region has now been touched enough.
func (c *coldTouch) add(page int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.touched == nil {
		c.touched = make(map[int64]int)
	}
	region := page / coldRegionPages
	c.touched[region]++
	return c.touched[region] == coldTouches
}

// refusesCold reports whether a request around a cold page is refused.
func (h *memHandle) refusesCold(dest []byte, rawOff int64) bool {
	if !h.session.hasSet() || h.bypassesCache || len(dest) <= store.PageBytes {
		return false
	}
	if h.stream.extend(rawOff, int64(len(dest))) || !h.node.refused.refuse(rawOff, int64(len(dest))) {
		return false
	}
	h.stats.refusedReadAheads.Add(1)
	return true
}

// regionAround returns what is to be done when the answer to a read was sent: nil,
// or a function that queues a region and does not block.
func (h *memHandle) regionAround(rawOff int64, lenBytes int) func() {
	if !h.session.hasSet() || lenBytes > store.PageBytes {
		return nil
	}
	page := rawOff / store.PageBytes
	if h.session.tracker.IsPlanned(page) { // it is late, and the set is on its way
		return nil
	}
	if !h.session.cold.add(page) || !h.image.Retain() {
		return nil
	}
	job := coldJob{h.node, h.image, h.session, page / coldRegionPages * coldRegionPages}
	return func() { h.node.tree.cold.submit(job) }
}

// coldJob is a region to push. It holds a user of the image.
type coldJob struct {
	node      *memNode
	image     *store.Image
	session   *session
	firstPage int64
}

// coldPusher pushes regions, one at a time: it is work in the background, dropped
// when there is too much of it.
type coldPusher struct {
	ctx    context.Context //nolint:containedctx // ends with the mount, as the pusher does
	cancel context.CancelFunc
	jobs   chan coldJob
	done   sync.WaitGroup
	stats  *counters
}

func newColdPusher(stats *counters) *coldPusher {
	p := &coldPusher{jobs: make(chan coldJob, coldQueueLength), stats: stats}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.done.Go(func() {
		for job := range p.jobs {
			p.push(job)
			job.node.release(job.image)
		}
	})
	return p
}

// close ends the work. No request may be under way any more.
func (p *coldPusher) close() {
	p.cancel()
	close(p.jobs)
	p.done.Wait()
}

func (p *coldPusher) submit(job coldJob) {
	select {
	case p.jobs <- job:
	default:
		p.stats.droppedPushes.Add(1)
		job.node.release(job.image)
	}
}

func (p *coldPusher) push(job coldJob) {
	run := job.session.run.Load()
	if p.ctx.Err() != nil || run == nil {
		return
	}
	pageCount := min(coldRegionPages, job.node.header.PageCount()-job.firstPage)
	err := run.PushRegion(p.ctx, job.firstPage, pageCount)
	if err != nil && !errors.Is(err, prefetch.ErrGone) && !errors.Is(err, context.Canceled) {
		job.node.tree.report("push", job.node.rel, err)
	}
}

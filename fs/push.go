package fs

import (
	"context"
	"errors"
	"sync"

	"sabrefs/prefetch"
	"sabrefs/store"
)

const (
	// pushTriggerPages is the largest request after which neighbors are
	// pushed: larger ones come from read-ahead, which asks for them itself.
	pushTriggerPages = 4
	pushQueueLength  = 64
	pushWorkers      = 2
)

// pusher puts pages into the kernel's cache that nobody asked for but that a
// fault made us decode: those that share a frame with the page that was asked
// for and lie next to it in the guest's memory.
//
// It is work in the background, dropped when there is too much of it. A nil
// pusher pushes nothing, and that is the default: a guest whose faults come in
// short runs (10,000 pages of a 512 MiB image, LZ4 and zstd, two cores) took
// 0-25 % longer with pushing for frames of 16 and 64 KiB, for a store costs a
// core about as much as the fault it may save and fills the cache with four to
// eight times what is used. Only frames of 256 KiB of which most is touched
// gained (18-34 %).
type pusher struct {
	cache *store.FrameCache
	stats *counters
	jobs  chan pushJob
	done  sync.WaitGroup
	fail  func(rel string, err error)
}

// pushJob is one frame to push around one page. It holds a user of the image.
type pushJob struct {
	node      *memNode
	image     *sharedImage
	page      int64 // the first page that was asked for
	pageCount int
	frame     uint32 // of that page
}

func newPusher(cache *store.FrameCache, stats *counters, fail func(rel string, err error)) *pusher {
	p := &pusher{cache: cache, stats: stats, jobs: make(chan pushJob, pushQueueLength), fail: fail}
	for range pushWorkers {
		p.done.Go(p.work)
	}
	return p
}

// close ends the workers. No request may be under way any more.
func (p *pusher) close() {
	if p == nil {
		return
	}
	close(p.jobs)
	p.done.Wait()
}

// plan returns what is to be done when the reply to a read was sent: nil, or a
// function that queues a push and does not block.
func (p *pusher) plan(h *memHandle, rawOff int64, lenBytes int) func() {
	if p == nil || lenBytes == 0 || lenBytes > pushTriggerPages*store.PageBytes {
		return nil
	}
	page := rawOff / store.PageBytes
	var ref [1]store.PageRef
	if err := h.image.Pages(page, ref[:]); err != nil || ref[0].Kind != store.PageInFrame {
		return nil // what is wrong with it was reported by the read
	}
	if !h.image.pushed.add(ref[0].Frame) || !h.image.retain() {
		return nil
	}
	pageCount := (lenBytes + store.PageBytes - 1) / store.PageBytes
	return func() { p.submit(pushJob{h.node, h.image, page, pageCount, ref[0].Frame}) }
}

func (p *pusher) submit(job pushJob) {
	select {
	case p.jobs <- job:
	default:
		p.stats.droppedPushes.Add(1)
		job.image.release(job.node)
	}
}

func (p *pusher) work() {
	for job := range p.jobs {
		if err := p.push(job); err != nil {
			p.stats.failedPushes.Add(1)
			p.fail(job.node.rel, err)
		}
		job.image.release(job.node)
	}
}

// push stores the runs of a frame around a page. The frame is in the cache
// most of the time, for it was decoded a moment ago.
func (p *pusher) push(job pushJob) error {
	raw, err := p.cache.Frame(context.Background(), job.image.Image, job.frame)
	if err != nil {
		return err
	}
	firstPage, refs, err := pushWindow(job)
	if err != nil {
		return err
	}
	asked := int(job.page - firstPage)
	for _, run := range frameRuns(refs, job.frame, asked, asked+job.pageCount) {
		rawOff := (firstPage + int64(run.first)) * store.PageBytes
		bytes := runBytes(refs[run.first:run.end], raw)
		bytes = bytes[:min(int64(len(bytes)), job.image.RawBytes()-rawOff)] // or the file would grow
		if err := storePages(&job.node.Inode, rawOff, bytes); err != nil {
			if errors.Is(err, prefetch.ErrGone) {
				return nil
			}
			return err
		}
		p.stats.pushes.Add(1)
		p.stats.pushedBytes.Add(int64(len(bytes)))
	}
	return nil
}

// pushWindow looks up the pages on both sides of a job's page. A frame's pages
// are in address order with zero and duplicate pages left out, so most lie
// within twice its size.
func pushWindow(job pushJob) (int64, []store.PageRef, error) {
	header := job.image.Header()
	reach := 2 * int64(header.MaxPagesPerFrame())
	first := max(0, job.page-reach)
	refs := make([]store.PageRef, min(job.page+reach, header.PageCount())-first)
	return first, refs, job.image.Pages(first, refs)
}

// pageSpan is a range of indexes into a list of pages.
type pageSpan struct{ first, end int }

// frameRuns returns the runs of pages that are in frame, without those from
// askedFirst to askedEnd. Zero pages between two pages of the frame belong to
// the run: they cost less than another call.
func frameRuns(refs []store.PageRef, frame uint32, askedFirst, askedEnd int) []pageSpan {
	var runs []pageSpan
	open := false // the last run may be continued
	for i, ref := range refs {
		switch {
		case i >= askedFirst && i < askedEnd:
			open = false
		case ref.Kind == store.PageZero:
		case ref.Kind != store.PageInFrame || ref.Frame != frame:
			open = false
		case open:
			runs[len(runs)-1].end = i + 1
		default:
			runs = append(runs, pageSpan{i, i + 1})
			open = true
		}
	}
	return runs
}

// runBytes copies the pages of a run together; raw is their frame.
func runBytes(refs []store.PageRef, raw []byte) []byte {
	bytes := make([]byte, len(refs)*store.PageBytes)
	for i, ref := range refs {
		slotOff := int(ref.Slot) * store.PageBytes
		if ref.Kind == store.PageInFrame && slotOff < len(raw) {
			copy(bytes[i*store.PageBytes:][:store.PageBytes], raw[slotOff:])
		}
	}
	return bytes
}

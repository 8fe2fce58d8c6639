package fs

import (
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

const (
	scrubRetries = 40
	scrubDelay   = 25 * time.Millisecond
)

// scrubber has the kernel drop pages whose write-back was refused, so that
// they are read again. Nothing is ever lost for want of room: ranges of one
// inode merge, so there is at most one for each.
type scrubber struct {
	stats *counters
	fail  func(ino uint64, err error)
	wake  chan struct{} // holds one token when there is work
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	pending map[*gofs.Inode]dirtyRange // guarded by mu
}

type dirtyRange struct {
	startOff, endOff int64
	tries            int
}

func newScrubber(stats *counters, fail func(ino uint64, err error)) *scrubber {
	s := &scrubber{
		stats: stats, fail: fail, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		pending: make(map[*gofs.Inode]dirtyRange),
	}
	s.done.Go(s.work)
	return s
}

// close ends the worker.
func (s *scrubber) close() {
	close(s.stop)
	s.done.Wait()
}

// add queues a range. It does not block, so a handler may call it: the kernel
// is told by the worker, which then waits for the handler's reply.
func (s *scrubber) add(node *gofs.Inode, off, lenBytes int64) {
	s.enqueue(node, dirtyRange{off, off + lenBytes, 0})
}

func (s *scrubber) enqueue(node *gofs.Inode, r dirtyRange) {
	s.mu.Lock()
	if known, ok := s.pending[node]; ok {
		r = dirtyRange{min(r.startOff, known.startOff), max(r.endOff, known.endOff), min(r.tries, known.tries)}
	}
	s.pending[node] = r
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *scrubber) take() map[*gofs.Inode]dirtyRange {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.pending
	s.pending = make(map[*gofs.Inode]dirtyRange)
	return taken
}

func (s *scrubber) work() {
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		}
		for node, r := range s.take() {
			s.invalidate(node, r)
		}
	}
}

// invalidate drops a range. Pages that are busy, or dirty again, are left by
// the kernel with an error, so it is tried again later.
func (s *scrubber) invalidate(node *gofs.Inode, r dirtyRange) {
	errno := node.NotifyContent(r.startOff, r.endOff-r.startOff)
	switch {
	case errno == 0:
		s.stats.scrubs.Add(1)
	case errno == syscall.ENOENT || errno == syscall.ENODEV: // forgotten, unmounted
	case r.tries >= scrubRetries:
		s.fail(node.StableAttr().Ino, errno)
	default:
		r.tries++
		time.AfterFunc(scrubDelay, func() { s.enqueue(node, r) })
	}
}

package fs

import (
	"sync"
	"time"
)

// refusals are requests for several pages that were refused. The kernel answers a
// refusal by asking for the one page that is needed. If it asks for the same pages
// once more, it cannot do with less (a page cache of larger folios, say), and a second
// refusal would be an error for the guest.
type refusals struct {
	mu     sync.Mutex
	recent [recentRefusals]request // guarded by mu
	next   int                     // guarded by mu
	known  map[request]time.Time   // when those of recent were refused; guarded by mu
}

const (
	// recentRefusals bounds what is remembered: far more than the kernel has under way.
	recentRefusals = 1024
	// refusalAge is how long a request counts as the same one: what comes later comes
	// because the kernel has dropped the pages.
	refusalAge = time.Second
)

type request struct{ rawOff, lenBytes int64 }

// refuse reports whether a request is refused: the first time it is.
func (r *refusals) refuse(rawOff, lenBytes int64) bool {
	q := request{rawOff, lenBytes}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, known := r.known[q]; known && time.Since(at) < refusalAge {
		delete(r.known, q)
		return false
	}
	if r.known == nil {
		r.known = make(map[request]time.Time)
	}
	oldest := &r.recent[r.next%recentRefusals]
	delete(r.known, *oldest)
	*oldest = q
	r.known[q] = time.Now()
	r.next++
	return true
}

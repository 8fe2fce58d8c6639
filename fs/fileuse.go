package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"sabrefs/prefetch"
)

// fileUse is what goes on while a memory file is open.
type fileUse struct {
	handles   int        // open ones
	session   *session   // of prefetch; nil for none
	eager     bool       // the session began with the mount and does not end with a close
	warm      bool       // a session has pushed all: the kernel may still have the pages
	recording *recording // of the first use; a mount records a file once
}

// beginUse takes note of a new handle. With the first one prefetch begins, or the
// recording. It returns the flags of the open file.
func (n *memNode) beginUse(h *memHandle) uint32 {
	t := n.tree
	h.stats = t.files.of(n.name(), &n.header)
	h.stats.opens.Add(1)
	h.stats.users.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.use.handles++
	flags := uint32(fuse.FOPEN_KEEP_CACHE)
	if n.use.handles == 1 {
		flags = n.beginFirstUse(h)
	}
	h.recording = n.use.recording
	h.session = n.use.session
	return flags
}

// beginFirstUse begins what goes on while there are handles. It runs with n.mu
// held.
func (n *memNode) beginFirstUse(h *memHandle) uint32 {
	t := n.tree
	if t.recorder != nil {
		if n.use.recording != nil {
			return fuse.FOPEN_KEEP_CACHE
		}
		n.use.recording = t.recorder.begin(n.name(), &n.header)
		h.stats.records(n.use.recording)
		return 0 // pages that are in the kernel's cache would not be asked for
	}
	if n.use.session.isOver() {
		warm := n.use.warm || n.use.session.isComplete()
		n.use.session, n.use.eager = t.ahead.begin(n, h.image, warm), false
		h.stats.began(n.use.session)
	}
	return fuse.FOPEN_KEEP_CACHE
}

// isOver reports whether there is nothing of a session that still runs.
func (s *session) isOver() bool {
	if s == nil {
		return true
	}
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// isComplete reports whether a session has pushed all that it should.
func (s *session) isComplete() bool {
	return s != nil && s.isOver() && s.report().State == prefetch.Done.String()
}

// endUse takes note of a handle that is closed. With the last one prefetch ends.
func (n *memNode) endUse(h *memHandle) {
	h.stats.users.Add(-1)
	n.mu.Lock()
	n.use.handles--
	var ending *session
	if n.use.handles == 0 && !n.use.eager {
		ending = n.use.session
		n.use.warm = n.use.warm || ending.isComplete()
		n.use.session = nil
	}
	n.mu.Unlock()
	if ending != nil {
		n.tree.ahead.end(ending)
	}
}

// saveRecording writes the trace as it is now.
func (h *memHandle) saveRecording() {
	if h.recording != nil {
		h.node.tree.recorder.save(h.node.name(), h.recording.write)
	}
}

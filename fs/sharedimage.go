package fs

import (
	"sync/atomic"

	"sabrefs/store"
)

// sharedImage is an open image with a count of its users. It is closed when
// the last one lets go.
type sharedImage struct {
	*store.Image
	users atomic.Int64
}

// newSharedImage returns an image with one user.
func newSharedImage(img *store.Image) *sharedImage {
	s := &sharedImage{Image: img}
	s.users.Store(1)
	return s
}

// retain adds a user. It returns false if the image is closed or about to be.
func (s *sharedImage) retain() bool {
	for {
		n := s.users.Load()
		if n == 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release removes a user; node is the one the image was acquired from.
func (s *sharedImage) release(node *memNode) {
	if s.users.Add(-1) > 0 {
		return
	}
	if err := s.Close(); err != nil {
		node.tree.log.Warn("closing an image failed", "file", node.tree.dir.display(node.rel), "err", err)
	}
}

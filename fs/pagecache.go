package fs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// pageSink puts pages of a memory file into the kernel's page cache.
type pageSink struct{ node *memNode }

// Store implements prefetch.Sink. What the kernel answers is looked at: a push
// that it did not accept must not count as one.
func (s pageSink) Store(rawOff int64, raw []byte) error {
	err := storePages(&s.node.Inode, rawOff, raw)
	stats := &s.node.tree.stats
	if err != nil {
		if !errors.Is(err, prefetch.ErrGone) {
			stats.failedPushes.Add(1)
		}
		return err
	}
	stats.pushes.Add(1)
	stats.pushedBytes.Add(int64(len(raw)))
	return nil
}

// storePages puts bytes into the kernel's cache. The error is prefetch.ErrGone if
// the kernel does not know the inode (any more), which needs no pages then.
func storePages(node *gofs.Inode, rawOff int64, raw []byte) error {
	switch errno := node.WriteCache(rawOff, raw); errno {
	case 0:
		return nil
	case syscall.ENOENT, syscall.ENODEV, syscall.EBADF:
		return fmt.Errorf("storing pages at raw offset %d: %w: %w", rawOff, prefetch.ErrGone, errno)
	default:
		return fmt.Errorf("storing %d bytes at raw offset %d in the page cache: %w", len(raw), rawOff, errno)
	}
}

// residentSamples is how many pages are looked for to tell whether a working set is
// still in the page cache.
const residentSamples = 16

// isResident reports whether the kernel still has the pages, as far as it tells before
// the context ends. An answer that is under way when the mount goes does not come before
// the last handler has returned, and that may be the RELEASE that waits for this session.
func isResident(ctx context.Context, node *gofs.Inode, pages []uint32) bool {
	if len(pages) == 0 {
		return false
	}
	resident := make(chan bool, 1)
	go func() { resident <- hasSamples(ctx, node, pages) }()
	select {
	case answer := <-resident:
		return answer
	case <-ctx.Done():
		return false
	}
}

// hasSamples reports whether the kernel has a few of the pages that are spread evenly.
func hasSamples(ctx context.Context, node *gofs.Inode, pages []uint32) bool {
	page := make([]byte, store.PageBytes)
	for i := range residentSamples {
		sample := pages[i*len(pages)/residentSamples]
		n, errno := node.ReadCache(int64(sample)*store.PageBytes, page)
		if errno != 0 || n < store.PageBytes || ctx.Err() != nil {
			return false
		}
	}
	return true
}

package model

import (
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"

	"sabrefs/iaa/portal"
)

// client is one open of a queue: a node and the windows that were mapped from
// it. The queue's mutex guards all of its fields.
type client struct {
	queue      *queue
	references int // the node and its windows
	inFlight   int
	draining   bool
	quiet      sync.Cond // inFlight is 0
}

// finished is called after a job's last access to memory.
func (c *client) finished() {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	c.inFlight--
	if c.inFlight == 0 {
		c.quiet.Broadcast()
	}
}

func (c *client) retain() {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	c.references++
}

// release closes the queue with the last reference. Then it waits for the
// client's jobs, as the kernel does: jobs that hang are aborted, late ones go
// on. Source: Linux, drivers/dma/idxd/cdev.c, idxd_cdev_release.
func (c *client) release() {
	q := c.queue
	q.mu.Lock()
	c.references--
	if c.references > 0 {
		q.mu.Unlock()
		return
	}
	c.draining = true
	q.mu.Unlock()
	for _, j := range q.takeParked(c) {
		if j.timer != nil {
			j.timer.Stop()
		}
		q.unparked(j, j.timer != nil)
	}
	q.mu.Lock()
	for c.inFlight > 0 {
		c.quiet.Wait()
	}
	q.mu.Unlock()
	q.clients.Add(-1)
}

// openNode implements portal.Node.
type openNode struct {
	client *client
	closed atomic.Bool
}

// Map implements portal.Node.
func (n *openNode) Map() (portal.Window, error) {
	host := n.client.queue.device.host
	if err := n.mapError(host); err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: n.path(), Err: err}
	}
	n.client.retain()
	return &window64{client: n.client}, nil
}

func (n *openNode) mapError(host *Host) error {
	switch {
	case host.closed.Load():
		return ErrClosed
	case n.closed.Load():
		return fs.ErrClosed
	case host.config.NoMmap:
		return syscall.EPERM
	default:
		return nil
	}
}

func (n *openNode) path() string { return "/dev/" + n.client.queue.node }

// Write implements portal.Node: descriptors are taken one by one, until one is
// not accepted. Source: Linux, drivers/dma/idxd/cdev.c, idxd_cdev_write and
// idxd_submit_user_descriptor.
func (n *openNode) Write(p []byte) (int, error) {
	written := 0
	for len(p)-written >= portal.DescriptorBytes {
		raw := [portal.DescriptorBytes]byte(p[written:])
		if err := n.submit(&raw); err != nil {
			if written > 0 {
				return written, nil
			}
			return 0, &fs.PathError{Op: "write", Path: n.path(), Err: err}
		}
		written += portal.DescriptorBytes
	}
	return written, nil
}

func (n *openNode) submit(raw *[portal.DescriptorBytes]byte) error {
	q := n.client.queue
	switch {
	case n.closed.Load():
		return fs.ErrClosed
	case q.device.host.config.NoWrite:
		return syscall.EINVAL
	case parseDescriptor(raw).record%recordAlignBytes != 0:
		return syscall.EINVAL
	case q.config.Mode == ModeDedicated:
		if !q.submit(n.client, raw) {
			q.drop()
		}
		return nil
	case !q.submit(n.client, raw):
		return syscall.EAGAIN
	default:
		return nil
	}
}

// Close implements portal.Node.
func (n *openNode) Close() error {
	if n.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: n.path(), Err: fs.ErrClosed}
	}
	n.client.release()
	return nil
}

// window64 implements portal.Window.
type window64 struct {
	client   *client
	unmapped atomic.Bool
}

// Enqcmd implements portal.Window.
func (w *window64) Enqcmd(raw *[portal.DescriptorBytes]byte) bool {
	q := w.client.queue
	if w.misused(raw, ModeShared) {
		q.refuse()
		return false
	}
	return q.submit(w.client, raw)
}

// Movdir64b implements portal.Window.
func (w *window64) Movdir64b(raw *[portal.DescriptorBytes]byte) {
	q := w.client.queue
	if w.misused(raw, ModeDedicated) {
		q.refuse()
		q.drop()
		return
	}
	if !q.submit(w.client, raw) {
		q.drop()
	}
}

// misused counts what would crash the process or go to nobody, and what
// portal.Window forbids: a window that was unmapped, the instruction of the
// other mode, a descriptor that is not aligned. The last is carried out.
func (w *window64) misused(raw *[portal.DescriptorBytes]byte, instruction Mode) bool {
	counter := &w.client.queue.device.host.tally.misused
	if addressOf(raw)%portal.DescriptorBytes != 0 {
		counter.Add(1)
	}
	if w.unmapped.Load() || w.client.queue.config.Mode != instruction {
		counter.Add(1)
		return true
	}
	return false
}

// Unmap implements portal.Window.
func (w *window64) Unmap() error {
	if w.unmapped.Swap(true) {
		return &fs.PathError{Op: "munmap", Path: "/dev/" + w.client.queue.node, Err: fs.ErrClosed}
	}
	w.client.release()
	return nil
}

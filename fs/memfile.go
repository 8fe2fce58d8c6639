package fs

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// memoryAttrTimeout is how long the kernel may trust the attributes of a
// memory file. They change only with the image file's mode, owner or times,
// which the next lookup brings along.
const memoryAttrTimeout = time.Hour

// memNode is the memory file of an image.
type memNode struct {
	gofs.Inode
	readOnlyNode
	tree   *tree
	rel    string       // of the image file
	header store.Header // of the content this inode stands for; immutable

	refused refusals

	mu     sync.Mutex
	st     unix.Stat_t  // of the image file, at the latest lookup; guarded by mu
	opened fileIdent    // what image was opened from; guarded by mu
	image  *store.Image // may be closed by now; guarded by mu
	use    fileUse      // guarded by mu
}

func newMemNode(t *tree, e *entry) *memNode {
	return &memNode{tree: t, rel: e.rel, header: *e.header, st: e.st}
}

// refresh takes note of changed attributes of the image file.
func (n *memNode) refresh(e *entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.st = e.st
}

// Getattr describes the memory file: size and holes are the image's, the rest
// is the image file's.
func (n *memNode) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fillAttr(&out.Attr)
	out.SetTimeout(memoryAttrTimeout)
	return 0
}

func (n *memNode) fillAttr(attr *fuse.Attr) {
	n.mu.Lock()
	fillPlainAttr(attr, &n.st)
	n.mu.Unlock()
	const blockBytes = 512
	dataPages := n.header.PageCount() - n.header.ZeroPages
	attr.Size = uint64(n.header.RawBytes)
	attr.Blocks = uint64(dataPages * (store.PageBytes / blockBytes))
	attr.Blksize = store.PageBytes
	attr.Nlink = 1
}

// name is the path of the memory file in the mount.
func (n *memNode) name() string { return strings.TrimSuffix(n.rel, imageSuffix) }

// Open opens the memory file, for writing too (see the package comment).
func (n *memNode) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	image, err := n.acquire()
	if err != nil {
		return nil, 0, n.tree.errno("open", n.rel, err)
	}
	n.tree.stats.opens.Add(1)
	h := &memHandle{node: n, image: image, bypassesCache: flags&unix.O_DIRECT != 0}
	return h, n.beginUse(h), 0
}

// acquire returns the open image, which the caller must release. It opens the
// image if nobody has it open, or if the file has changed since, and makes sure
// that what is there now is still the content of this inode.
func (n *memNode) acquire() (*store.Image, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	st, err := n.tree.dir.stat(n.rel)
	if err != nil {
		return nil, err
	}
	if n.image != nil && n.opened == identOf(&st) && n.image.Retain() {
		return n.image, nil
	}
	img, err := n.tree.catalog.open(n.rel)
	if err != nil {
		return nil, err
	}
	if img.Header().Identity != n.header.Identity {
		return nil, errors.Join(errStale, img.Close())
	}
	n.tree.noteStale(n.rel, img)
	n.image, n.opened = img, identOf(&st)
	return img, nil
}

// release ends a use of an image that was acquired or retained.
func (n *memNode) release(image *store.Image) {
	if err := image.Close(); err != nil {
		n.tree.log.Warn("closing an image failed", "file", n.tree.dir.display(n.rel), "err", err)
	}
}

// memHandle is an open memory file.
type memHandle struct {
	readOnlyHandle
	node          *memNode
	image         *store.Image
	stats         *fileStats
	recording     *recording // nil if the mount does not record
	session       *session   // of prefetch; nil without
	stream        readStream
	bypassesCache bool // O_DIRECT: what it reads, no page cache has asked for
}

// Read decodes what the kernel asks for. The context, which ends when a signal
// reaches the reader, is ignored on purpose: see the package comment.
func (h *memHandle) Read(_ context.Context, dest []byte, rawOff int64) (fuse.ReadResult, syscall.Errno) {
	began := time.Now()
	if !h.image.Retain() { // RELEASE was faster
		return nil, syscall.EBADF
	}
	defer h.node.release(h.image)
	if h.refusesReadAhead(dest, rawOff) || h.refusesCold(dest, rawOff) {
		return nil, syscall.EIO
	}
	t := h.node.tree
	t.ahead.gate.Enter()
	defer t.ahead.gate.Leave()
	h.noteDemand(dest, rawOff)
	served, err := t.cache.ReadFirst(context.Background(), h.image, dest, rawOff)
	if err != nil && !errors.Is(err, io.EOF) {
		t.stats.failedReads.Add(1)
		h.stats.failedReads.Add(1)
		return nil, t.errno("read", h.node.rel, err)
	}
	t.stats.reads.Add(1)
	t.stats.readBytes.Add(int64(served.LenBytes))
	h.stats.served(served, time.Since(began))
	return &reply{data: dest[:served.LenBytes], keep: served.Keep, push: h.regionAround(rawOff, served.LenBytes)}, 0
}

// noteDemand takes note of the pages that the kernel lacks.
func (h *memHandle) noteDemand(dest []byte, rawOff int64) {
	if h.session == nil {
		return
	}
	firstPage := rawOff / store.PageBytes
	endPage := min(firstPage+int64(len(dest)+store.PageBytes-1)/store.PageBytes, h.node.header.PageCount())
	h.session.tracker.Demand(firstPage, endPage-firstPage)
}

// refusesReadAhead records a touched page, and refuses a request for several: see
// recording.
func (h *memHandle) refusesReadAhead(dest []byte, rawOff int64) bool {
	if !h.recording.active() || h.bypassesCache {
		return false
	}
	if len(dest) > store.PageBytes && h.node.refused.refuse(rawOff, int64(len(dest))) {
		h.stats.refusedReadAheads.Add(1)
		return true
	}
	for off := int64(0); off < int64(len(dest)); off += store.PageBytes {
		if rawOff+off < h.node.header.RawBytes {
			h.recording.touch(uint32((rawOff + off) / store.PageBytes))
		}
	}
	return false
}

// Write refuses, and has the kernel forget the bytes if they got into its
// cache: they came by a shared mapping.
func (h *memHandle) Write(_ context.Context, data []byte, rawOff int64) (uint32, syscall.Errno) {
	t := h.node.tree
	t.stats.refusedWrites.Add(1)
	if t.logged.first("write\x00" + h.node.rel) {
		t.log.Warn("a process writes to a memory file by a shared mapping; other guests may have seen it, now it is undone",
			"image", t.dir.display(h.node.rel))
	}
	t.scrub.add(&h.node.Inode, rawOff, int64(len(data)))
	return 0, syscall.EROFS
}

// Lseek finds the next data or hole, as lseek(2) has it: the end of the file
// is a hole, and looking for data where there is none left is ENXIO.
func (h *memHandle) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	if !h.image.Retain() {
		return 0, syscall.EBADF
	}
	defer h.node.release(h.image)
	rawBytes := h.image.RawBytes()
	if off >= uint64(rawBytes) {
		return 0, syscall.ENXIO
	}
	seek := h.image.NextHole
	switch whence {
	case unix.SEEK_DATA:
		seek = h.image.NextData
	case unix.SEEK_HOLE:
	default:
		return 0, syscall.EINVAL
	}
	pos, err := seek(int64(off))
	if err != nil {
		t := h.node.tree
		return 0, t.errno("lseek", h.node.rel, err)
	}
	if whence == unix.SEEK_DATA && pos >= rawBytes {
		return 0, syscall.ENXIO
	}
	return uint64(pos), 0
}

// Flush is called whenever a descriptor is closed, and the caller waits for it: a
// trace is complete as far as this process was concerned.
func (h *memHandle) Flush(context.Context) syscall.Errno {
	h.saveRecording()
	return 0
}

// Release lets go of the image.
func (h *memHandle) Release(context.Context) syscall.Errno {
	h.saveRecording()
	h.node.endUse(h)
	h.node.release(h.image)
	return 0
}

// reply is the answer to a READ. Its bytes go to the kernel without another
// copy; keep and push, where they are not nil, run once they are there and must
// not block.
type reply struct {
	data []byte
	keep func() // puts the decoded frame into the cache
	push func() // queues pages around
}

// Bytes returns the bytes.
func (r *reply) Bytes([]byte) ([]byte, fuse.Status) { return r.data, fuse.OK }

// Slices returns the bytes as go-fuse writes them when it has the choice;
// only on this way does it call Done after the reply and not before.
func (r *reply) Slices() ([][]byte, fuse.Status) { return [][]byte{r.data}, fuse.OK }

// Size is the number of bytes.
func (r *reply) Size() int { return len(r.data) }

// Done is called when the reply has been sent.
func (r *reply) Done() {
	if r.keep != nil {
		r.keep()
	}
	if r.push != nil {
		r.push()
	}
}

package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// plainNode is a file that is shown as it is: regular, or a FIFO, socket or
// device, which the kernel opens without asking.
type plainNode struct {
	gofs.Inode
	readOnlyNode
	tree  *tree
	rel   string
	ident fileIdent // the file it is about; size and times may be old

	mu     sync.Mutex
	opened fileIdent // state at the previous open; guarded by mu
}

// Getattr describes the file as it is now.
func (n *plainNode) Getattr(_ context.Context, f gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	st, err := n.stat(f)
	if err != nil {
		return n.tree.errno("stat", n.rel, err)
	}
	fillPlainAttr(&out.Attr, &st)
	return 0
}

// stat describes the open file if there is one, which may have been replaced
// in the store meanwhile.
func (n *plainNode) stat(f gofs.FileHandle) (unix.Stat_t, error) {
	if h, ok := f.(*plainHandle); ok {
		return fstat(h.file)
	}
	st, err := n.tree.dir.stat(n.rel)
	if err == nil && !identOf(&st).sameFile(n.ident) {
		err = errStale
	}
	return st, err
}

// Getxattr has nothing to show but the write guard.
func (n *plainNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if name == writeGuardName {
		return copyXattr(dest, writeGuard)
	}
	return 0, syscall.ENODATA
}

// Open opens the file for reading. It accepts O_RDWR as memory files do; writes
// fail.
func (n *plainNode) Open(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	file, ident, err := n.openFile()
	if err != nil {
		return nil, 0, n.tree.errno("open", n.rel, err)
	}
	return &plainHandle{node: n, file: file}, n.cacheFlags(ident), 0
}

func (n *plainNode) openFile() (*os.File, fileIdent, error) {
	file, err := n.tree.dir.open(n.rel)
	if err != nil {
		return nil, fileIdent{}, err
	}
	st, err := fstat(file)
	ident := identOf(&st)
	if err == nil && !ident.sameFile(n.ident) {
		err = errStale
	}
	if err != nil {
		return nil, ident, errors.Join(err, file.Close())
	}
	return file, ident, nil
}

// cacheFlags keeps the kernel's pages if the file did not change since the
// previous open.
func (n *plainNode) cacheFlags(ident fileIdent) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	unchanged := n.opened == ident
	n.opened = ident
	if unchanged {
		return fuse.FOPEN_KEEP_CACHE
	}
	return 0
}

// plainHandle is an open file. os.File lets a read finish that Close overtakes.
type plainHandle struct {
	readOnlyHandle
	node *plainNode
	file *os.File
}

// Read reads from the store's file.
func (h *plainHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.file.ReadAt(dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, h.node.tree.errno("read", h.node.rel, err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write refuses.
func (h *plainHandle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	h.node.tree.scrub.add(&h.node.Inode, off, int64(len(data)))
	return 0, syscall.EROFS
}

// Lseek finds data and holes of the store's file.
func (h *plainHandle) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	var pos int64
	err := withFD(h.file, func(fd int) (err error) {
		pos, err = unix.Seek(fd, int64(off), int(whence))
		return err
	})
	if err != nil {
		return 0, h.node.tree.errno("lseek", h.node.rel, err)
	}
	return uint64(pos), 0
}

// Release closes the file.
func (h *plainHandle) Release(context.Context) syscall.Errno {
	return h.node.tree.errno("close", h.node.rel, h.file.Close())
}

// linkNode is a symbolic link, shown and not followed.
type linkNode struct {
	gofs.Inode
	readOnlyNode
	tree  *tree
	rel   string
	ident fileIdent
}

// Getattr describes the link.
func (n *linkNode) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	st, err := n.tree.dir.stat(n.rel)
	if err == nil && !identOf(&st).sameFile(n.ident) {
		err = errStale
	}
	if err != nil {
		return n.tree.errno("stat", n.rel, err)
	}
	fillPlainAttr(&out.Attr, &st)
	return 0
}

// Readlink returns the target.
func (n *linkNode) Readlink(context.Context) ([]byte, syscall.Errno) {
	target, err := n.tree.dir.readlink(n.rel)
	return target, n.tree.errno("readlink", n.rel, err)
}

func fstat(file *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := withFD(file, func(fd int) error { return unix.Fstat(fd, &st) })
	return st, err
}

// withFD runs use with the descriptor of a file, which stays open that long.
func withFD(file *os.File, use func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	var useErr error
	if err := conn.Control(func(fd uintptr) { useErr = use(int(fd)) }); err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	return useErr
}

package fs

import (
	"context"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// readOnlyNode refuses changes to a file. Without it go-fuse would answer with
// other numbers, or with success. A mount cannot simply be read-only: then the
// kernel refuses to open a file O_RDWR, which VMMs do.
type readOnlyNode struct{}

// Setattr refuses chmod, chown, utimes and truncate.
func (readOnlyNode) Setattr(context.Context, gofs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return syscall.EROFS
}

// Setxattr refuses.
func (readOnlyNode) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EROFS
}

// Removexattr refuses.
func (readOnlyNode) Removexattr(context.Context, string) syscall.Errno { return syscall.EROFS }

// readOnlyDir refuses changes to a directory.
type readOnlyDir struct{ readOnlyNode }

// Mkdir refuses.
func (readOnlyDir) Mkdir(context.Context, string, uint32, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EROFS
}

// Mknod refuses.
func (readOnlyDir) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EROFS
}

// Link refuses.
func (readOnlyDir) Link(context.Context, gofs.InodeEmbedder, string, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EROFS
}

// Symlink refuses.
func (readOnlyDir) Symlink(context.Context, string, string, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EROFS
}

// Create refuses.
func (readOnlyDir) Create(context.Context, string, uint32, uint32, *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EROFS
}

// Tmpfile refuses.
func (readOnlyDir) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EROFS
}

// Unlink refuses.
func (readOnlyDir) Unlink(context.Context, string) syscall.Errno { return syscall.EROFS }

// Rmdir refuses.
func (readOnlyDir) Rmdir(context.Context, string) syscall.Errno { return syscall.EROFS }

// Rename refuses.
func (readOnlyDir) Rename(context.Context, string, gofs.InodeEmbedder, string, uint32) syscall.Errno {
	return syscall.EROFS
}

// readOnlyHandle refuses changes through an open file.
type readOnlyHandle struct{}

// Allocate refuses fallocate, of any mode.
func (readOnlyHandle) Allocate(context.Context, uint64, uint64, uint32) syscall.Errno {
	return syscall.EROFS
}

// Fsync has nothing to do: no byte was accepted.
func (readOnlyHandle) Fsync(context.Context, uint32) syscall.Errno { return 0 }

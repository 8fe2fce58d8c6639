package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// slowFileName is the one file of the mount.
const slowFileName = "disk.img"

// newSlowDiskCommand is the process behind a slowDisk.
func newSlowDiskCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "slow-disk FILE MOUNTPOINT BYTES_PER_SECOND",
		Short:  "Show a file at MOUNTPOINT/" + slowFileName + " that is read at a rate, until standard input ends",
		Hidden: true,
		Args:   cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			rate, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil || rate < 1 {
				return fmt.Errorf("rate %q: expected bytes a second", args[2])
			}
			return serveSlowDisk(cmd.InOrStdin(), cmd.OutOrStdout(), args[0], args[1], rate)
		},
	}
}

func serveSlowDisk(in io.Reader, out io.Writer, path, point string, bytesPerSecond int64) error {
	// Nothing is cached on this side of the disk.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	file := &slowFile{fd: fd, pace: &pace{bytesPerSecond: bytesPerSecond}}
	// Below the size of a pipe, through which the bytes go.
	const requestBytes = 512 << 10
	server, err := gofs.Mount(point, &slowRoot{file: file}, &gofs.Options{
		MountOptions: fuse.MountOptions{MaxWrite: requestBytes, DirectMount: true, FsName: path, Name: "slow-disk"},
	})
	if err != nil {
		return fmt.Errorf("mount %s: %w", point, err)
	}
	fmt.Fprintln(out, "ready")
	_, _ = io.Copy(io.Discard, in) // ends when whoever wanted the disk ends
	if err := server.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	server.Wait()
	return unix.Close(fd)
}

// slowRoot is the root of the mount.
type slowRoot struct {
	gofs.Inode
	file *slowFile
}

// OnAdd adds the file.
func (r *slowRoot) OnAdd(ctx context.Context) {
	child := r.NewPersistentInode(ctx, r.file, gofs.StableAttr{Mode: fuse.S_IFREG})
	r.AddChild(slowFileName, child, true)
}

// slowFile is the file. Writes are as fast as they can be.
type slowFile struct {
	gofs.Inode
	fd   int
	pace *pace
}

var (
	_ gofs.NodeGetattrer = (*slowFile)(nil)
	_ gofs.NodeOpener    = (*slowFile)(nil)
	_ gofs.NodeReader    = (*slowFile)(nil)
	_ gofs.NodeWriter    = (*slowFile)(nil)
	_ gofs.NodeFsyncer   = (*slowFile)(nil)
)

// Getattr answers with the attributes of the file below.
func (f *slowFile) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	var status syscall.Stat_t
	if err := syscall.Fstat(f.fd, &status); err != nil {
		return gofs.ToErrno(err)
	}
	out.FromStat(&status)
	return 0
}

// Open needs no handle.
func (f *slowFile) Open(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Read waits for its turn.
func (f *slowFile) Read(_ context.Context, _ gofs.FileHandle, dest []byte, rawOff int64) (fuse.ReadResult, syscall.Errno) {
	f.pace.wait(len(dest))
	return fuse.ReadResultFd(uintptr(f.fd), rawOff, len(dest)), 0
}

func (f *slowFile) Write(_ context.Context, _ gofs.FileHandle, data []byte, rawOff int64) (uint32, syscall.Errno) {
	n, err := unix.Pwrite(f.fd, data, rawOff)
	return uint32(max(n, 0)), gofs.ToErrno(err)
}

// Fsync writes the file below to its disk.
func (f *slowFile) Fsync(context.Context, gofs.FileHandle, uint32) syscall.Errno {
	return gofs.ToErrno(os.NewSyscallError("fsync", unix.Fsync(f.fd)))
}

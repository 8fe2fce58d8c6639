package fs

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// storeDir reaches the files of a store. Paths are relative to the store's
// directory; none of them is resolved through a symbolic link or out of it,
// whatever is renamed meanwhile.
type storeDir struct {
	path string          // as given, for messages
	root *os.File        // O_PATH
	conn syscall.RawConn // of root
}

func openStoreDir(path string) (*storeDir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	root := os.NewFile(uintptr(fd), path)
	conn, err := root.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &storeDir{path: path, root: root, conn: conn}, nil
}

// close may run beside other methods, which fail with os.ErrClosed from then on: a file
// that was open when the mount went is never released, and its image may still request
// in the background what its ancestors have.
func (d *storeDir) close() error { return d.root.Close() }

// withRoot lets use have the root's descriptor, which stays what it is meanwhile.
func (d *storeDir) withRoot(use func(root int) error) error {
	var err error
	if closed := d.conn.Control(func(root uintptr) { err = use(int(root)) }); closed != nil {
		return os.ErrClosed // which is what it says in a word of its own
	}
	return err
}

// openFD opens a file. The caller closes the descriptor.
func (d *storeDir) openFD(rel string, flags int) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = d.withRoot(func(root int) (err error) {
		for {
			fd, err = unix.Openat2(root, rel, &how)
			// EAGAIN: a rename elsewhere raced with the proof that the path stays
			// beneath the root.
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
				return err
			}
		}
	})
	return fd, err
}

// open opens a regular file or a directory for reading.
func (d *storeDir) open(rel string) (*os.File, error) {
	// O_NONBLOCK: the name may have become a FIFO since it was looked up.
	fd, err := d.openFD(rel, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.display(rel), Err: err}
	}
	return os.NewFile(uintptr(fd), d.display(rel)), nil
}

// stat describes a file, a symbolic link as itself.
func (d *storeDir) stat(rel string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := d.withPathFD(rel, func(fd int) error { return unix.Fstat(fd, &st) })
	if err != nil {
		return st, &os.PathError{Op: "stat", Path: d.display(rel), Err: err}
	}
	return st, nil
}

// readlink returns the target of a symbolic link.
func (d *storeDir) readlink(rel string) ([]byte, error) {
	target := make([]byte, unix.PathMax)
	err := d.withPathFD(rel, func(fd int) error {
		n, err := unix.Readlinkat(fd, "", target)
		target = target[:max(n, 0)]
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "readlink", Path: d.display(rel), Err: err}
	}
	return target, nil
}

// statfs describes the filesystem the store is on.
func (d *storeDir) statfs() (unix.Statfs_t, error) {
	var st unix.Statfs_t
	if err := d.withRoot(func(root int) error { return unix.Fstatfs(root, &st) }); err != nil {
		return st, fmt.Errorf("statfs %s: %w", d.path, err)
	}
	return st, nil
}

func (d *storeDir) withPathFD(rel string, use func(fd int) error) error {
	fd, err := d.openFD(rel, unix.O_PATH)
	if err != nil {
		return err
	}
	return errors.Join(use(fd), unix.Close(fd))
}

// display is the path that messages show.
func (d *storeDir) display(rel string) string { return d.path + "/" + rel }

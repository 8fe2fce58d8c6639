package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPathBytes is what fits into a socket address beside the zero that
// ends it.
const maxSocketPathBytes = 107

var (
	// ErrSocketInUse is returned by Serve when a process listens on the path.
	ErrSocketInUse = errors.New("socket is in use")
	// ErrNotSocket is returned by Serve when the path is of a file that is no
	// socket.
	ErrNotSocket = errors.New("file exists and is not a socket")
	// ErrSocketPathTooLong is returned by Serve when the path does not fit into
	// a socket address.
	ErrSocketPathTooLong = errors.New("socket path is too long")
	// ErrSocketPath is returned by Serve when the path is empty or holds a zero
	// byte.
	ErrSocketPath = errors.New("invalid socket path")
)

// apiSocket is the socket that is listened on, and which file it is.
type apiSocket struct {
	path     string
	listener *net.UnixListener
	file     fs.FileInfo
}

// listen makes the socket.
func listen(path string) (*apiSocket, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return bind(path)
}

func checkSocketPath(path string) error {
	if path == "" || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%w: %q", ErrSocketPath, path)
	}
	if len(addressOf(path)) > maxSocketPathBytes {
		return fmt.Errorf("%w: %s: %d bytes, more than %d", ErrSocketPathTooLong, path, len(path), maxSocketPathBytes)
	}
	return nil
}

// addressOf keeps a name that begins with @ a name of a file.
func addressOf(path string) string {
	if path[0] == '@' {
		return "./" + path
	}
	return path
}

// bind listens on the path. The mode is given to the socket before it gets its
// name, so nobody can connect in between whom the mode keeps out.
func bind(path string) (*apiSocket, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var modeErr error
		err := raw.Control(func(fd uintptr) { modeErr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, modeErr)
	}}
	l, err := config.Listen(context.Background(), "unix", addressOf(path))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("socket %s: %w", path, ErrSocketInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("socket %s: a listener of type %T", path, l), l.Close())
	}
	// The name may be another's by the time we end; see remove.
	listener.SetUnlinkOnClose(false)
	file, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), listener.Close())
	}
	return &apiSocket{path: path, listener: listener, file: file}, nil
}

// remove takes the name away, if it is still that of our socket. The client
// may have done it before, and another server may have taken the name since.
// It is called while the listener is open: that keeps the inode, so that no
// other file can have its number.
func (s *apiSocket) remove() error {
	now, err := os.Lstat(s.path)
	if err == nil && os.SameFile(now, s.file) {
		err = os.Remove(s.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the socket: %w", err)
	}
	return nil
}

// removeStale removes a socket that nobody listens on, and refuses anything
// else that has the name.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	conn, err := net.DialTimeout("unix", addressOf(path), time.Second)
	switch {
	case err == nil:
		return errors.Join(ErrSocketInUse, conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		// A full backlog, or a socket of another kind: somebody has it.
		return fmt.Errorf("%w: %w", ErrSocketInUse, err)
	}
}

// lockDirectory keeps other servers of ours from the directory until the
// returned function is called. Otherwise two could find the same stale socket,
// and the second remove that of the first. Another program may hold such a
// lock for long, and a filesystem may have none: then it goes without.
func lockDirectory(dir string) (unlock func(), err error) {
	const attempts, pause = 20, 50 * time.Millisecond
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for range attempts {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(pause)
	}
	return func() { _ = f.Close() }, nil
}

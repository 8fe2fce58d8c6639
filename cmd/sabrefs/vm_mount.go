//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sabrefs/store"
)

// snapshotMount is a packed snapshot, mounted for one machine: by another process,
// because this one maps a file of the mount. It ends with this process.
type snapshotMount struct {
	dir      string // of the files, mounted or not
	point    string // empty where nothing is mounted
	daemon   *os.Process
	lifeline *os.File
	took     time.Duration
}

// openSnapshot returns where the two files of a snapshot are. A packed one is mounted.
func openSnapshot(ctx context.Context, dir string, mountOptions []string) (*snapshotMount, error) {
	raw, err := exists(filepath.Join(dir, memoryFileName))
	if err != nil {
		return nil, err
	}
	packed, err := exists(filepath.Join(dir, memoryFileName+store.ImageSuffix))
	switch {
	case err != nil:
		return nil, err
	case packed:
		return mountSnapshot(ctx, dir, mountOptions)
	case !raw:
		return nil, fmt.Errorf("%s: neither %s nor %s is there: %w", dir, memoryFileName, memoryFileName+store.ImageSuffix, fs.ErrNotExist)
	case len(mountOptions) > 0:
		return nil, usageError{fmt.Errorf("%s is not packed, so options of a mount are of no use", dir)}
	}
	return &snapshotMount{dir: dir}, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// mountSnapshot mounts the directory of a snapshot at a place of its own.
func mountSnapshot(ctx context.Context, dir string, mountOptions []string) (_ *snapshotMount, err error) {
	began := time.Now()
	point, err := os.MkdirTemp("", "sabrefs-vm-*")
	if err != nil {
		return nil, err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, os.Remove(point))
	}
	defer theirs.Close()
	args := append([]string{"mount"}, mountOptions...)
	daemon, err := startDaemon(ctx, append(args, "--", dir, point), theirs)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), os.Remove(point))
	}
	return &snapshotMount{dir: point, point: point, daemon: daemon, lifeline: ours, took: time.Since(began)}, nil
}

// close unmounts, when nothing of the mount is mapped any more, and waits for the end
// of the daemon.
func (m *snapshotMount) close() error {
	if m.point == "" {
		return nil
	}
	err := m.lifeline.Close()
	if _, waitErr := m.daemon.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("waiting for the daemon of %s: %w", m.point, waitErr))
	}
	if removeErr := os.Remove(m.point); !errors.Is(removeErr, fs.ErrNotExist) { // the daemon does it, too
		err = errors.Join(err, removeErr)
	}
	return err
}

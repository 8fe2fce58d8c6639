//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	args, err := mountArguments(filepath.Join(dir, memoryFileName+store.ImageSuffix), mountOptions)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), os.Remove(point))
	}
	daemon, err := startDaemon(ctx, append(args, "--", dir, point), theirs)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), os.Remove(point))
	}
	return &snapshotMount{dir: point, point: point, daemon: daemon, lifeline: ours, took: time.Since(began)}, nil
}

// mountArguments is the begin of the command line of the daemon. The mount shows the
// directory of one snapshot, so it is told where the ancestors of its image are.
func mountArguments(image string, mountOptions []string) ([]string, error) {
	args := append([]string{"mount"}, mountOptions...)
	dirs, err := ancestorDirs(image)
	for _, dir := range dirs {
		args = append(args, "--parent-dir", dir)
	}
	return args, err
}

// ancestorDirs lists the directories of the ancestors of an image, but its own.
func ancestorDirs(image string) ([]string, error) {
	var dirs []string
	own, path := filepath.Dir(image), image
	parents := store.NewParents(nil)
	for range store.MaxDepth {
		header, ref, err := store.ReadParentRef(path)
		if err != nil || !header.HasParent() {
			return dirs, err
		}
		if path, err = parents.Locate(path, ref); err != nil {
			return nil, err
		}
		if dir := filepath.Dir(path); dir != own && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil // the mount says that there are too many
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

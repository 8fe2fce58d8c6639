package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stagingSuffix ends the name of a directory in which a snapshot is assembled;
// it begins with a dot. The mounted view hides such names.
const stagingSuffix = ".sabrefs-staging"

// IsStaging reports whether a file of this base name is one that a pack under
// way, or a killed one, has not given its real name.
func IsStaging(name string) bool {
	return strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, ".") && strings.HasSuffix(name, stagingSuffix)
}

// stagingDir is a directory that appears under its name whole or not at all.
// Its lock tells a pack that is under way from what a killed one left, which
// the next pack to the same target clears away.
type stagingDir struct {
	path      string
	target    string
	overwrite bool
	lock      *os.File // the directory itself, flocked
}

// createStaging begins a directory that commit will publish as target. It fails
// with ErrBusy if another process is at it.
func createStaging(target string, overwrite bool) (*stagingDir, error) {
	target = filepath.Clean(target)
	if err := checkTarget(target, overwrite, fs.FileMode.IsDir); err != nil {
		return nil, err
	}
	path := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+stagingSuffix)
	const ownerOnly = 0o700
	if err := os.Mkdir(path, ownerOnly); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := lockDir(path, target)
	if err != nil {
		return nil, err
	}
	s := &stagingDir{path: path, target: target, overwrite: overwrite, lock: lock}
	if err := s.clear(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// lockDir locks a staging directory and makes sure that it still has its name:
// its former owner may have renamed it just now.
func lockDir(path, target string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	busy := &FileError{Path: target, PackedOff: wholeFile, Err: ErrBusy, Detail: "wait for it, or stop it"}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = busy
		}
		return nil, errors.Join(err, dir.Close())
	}
	locked, err := dir.Stat()
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	named, err := os.Lstat(path)
	if err != nil || !os.SameFile(locked, named) {
		return nil, errors.Join(busy, dir.Close())
	}
	return dir, nil
}

// clear removes what a killed process left.
func (s *stagingDir) clear() error {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// commit gives the directory its mode and its name. After an error the target
// is what it was before.
func (s *stagingDir) commit(mode fs.FileMode) error {
	if err := s.publish(mode); err != nil {
		return errors.Join(err, s.abort())
	}
	return errors.Join(syncDir(filepath.Dir(s.target)), s.lock.Close())
}

func (s *stagingDir) publish(mode fs.FileMode) error {
	if err := s.lock.Chmod(mode.Perm()); err != nil {
		return err
	}
	if err := s.lock.Sync(); err != nil {
		return err
	}
	err := renameNew(s.path, s.target)
	if errors.Is(err, fs.ErrExist) && s.overwrite {
		return s.exchange()
	}
	if errors.Is(err, fs.ErrExist) {
		return &FileError{Path: s.target, PackedOff: wholeFile, Err: ErrExists, Detail: "it appeared while this one was written"}
	}
	if err != nil {
		return fmt.Errorf("renaming %s to %s: %w", s.path, s.target, err)
	}
	return nil
}

// renameNew renames a directory if nothing has the new name.
func renameNew(path, target string) error {
	err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// The filesystem has no such flag (NFS, vfat). A plain rename replaces an
	// empty directory, which loses nothing, and refuses any other.
	if err := os.Rename(path, target); errors.Is(err, unix.ENOTEMPTY) {
		return fs.ErrExist
	} else if err != nil {
		return err
	}
	return nil
}

// exchange swaps the new directory with the old one, so that at no time there
// is none, and then removes the old one.
func (s *stagingDir) exchange() error {
	if err := unix.Renameat2(unix.AT_FDCWD, s.path, unix.AT_FDCWD, s.target, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchanging %s and %s: %w", s.path, s.target, err)
	}
	return os.RemoveAll(s.path)
}

// abort removes the directory.
func (s *stagingDir) abort() error { return errors.Join(os.RemoveAll(s.path), s.lock.Close()) }

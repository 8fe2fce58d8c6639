package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// atomicFile is a file that appears under its name whole or not at all. Until
// commit it has no name where the filesystem offers that (O_TMPFILE), so that
// even a killed process leaves nothing behind.
type atomicFile struct {
	*os.File
	target    string
	overwrite bool
	tempPath  string // empty while the file has no name
}

// createAtomic begins a file that commit will publish as target.
func createAtomic(target string, overwrite bool, mode fs.FileMode) (*atomicFile, error) {
	if err := checkTarget(target, overwrite, fs.FileMode.IsRegular); err != nil {
		return nil, err
	}
	if err := removeStale(filepath.Dir(target)); err != nil {
		return nil, err
	}
	f, err := createUnnamed(filepath.Dir(target))
	if err != nil {
		return nil, err
	}
	a := &atomicFile{File: f.File, target: target, overwrite: overwrite, tempPath: f.tempPath}
	if err := a.Chmod(mode.Perm()); err != nil {
		return nil, errors.Join(err, a.abort())
	}
	return a, nil
}

// checkTarget refuses a target that exists, unless it may be replaced and is of
// the right kind.
func checkTarget(target string, overwrite bool, rightKind func(fs.FileMode) bool) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !overwrite:
		return &FileError{Path: target, PackedOff: wholeFile, Err: ErrExists, Detail: "remove it or ask for replacement"}
	case !rightKind(info.Mode()):
		return &FileError{Path: target, PackedOff: wholeFile, Err: ErrExists, Detail: "it is of another kind than what would replace it"}
	}
	return nil
}

// unnamedFile is a temporary file. tempPath is empty if it has no name; else
// whoever closes it removes the name.
type unnamedFile struct {
	*os.File
	tempPath string
}

// createUnnamed makes a temporary file in dir, without a name if possible.
func createUnnamed(dir string) (unnamedFile, error) {
	const ownerOnly = 0o600
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, ownerOnly)
	if err == nil {
		return markAlive(unnamedFile{File: os.NewFile(uintptr(fd), filepath.Join(dir, "(unnamed)"))})
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return unnamedFile{}, &fs.PathError{Op: "create temporary file in", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return unnamedFile{}, err
	}
	return markAlive(unnamedFile{File: f, tempPath: f.Name()})
}

// markAlive locks a new temporary file, or drops it. In the moment before, the
// next pack to the directory could take a named one for stale and remove it;
// then commit fails, and nothing is lost but the work.
func markAlive(f unnamedFile) (unnamedFile, error) {
	if err := lockAlive(f.File); err != nil {
		return unnamedFile{}, errors.Join(err, f.close())
	}
	return f, nil
}

// lockAlive marks a temporary file as one that a living process writes.
func lockAlive(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

// removeStale removes temporary files of dir whose writers were killed between
// giving them a name and giving them their real one.
func removeStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // it is gone, or not ours
		}
		if lockAlive(f) == nil {
			err = os.Remove(path)
		}
		if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tempPrefix begins the names of temporary files; the mounted view hides them.
const tempPrefix = ".sabrefs-tmp-"

// close closes the file and removes its name, if it has one.
func (f unnamedFile) close() error {
	err := f.File.Close()
	if f.tempPath != "" {
		err = errors.Join(err, os.Remove(f.tempPath))
	}
	return err
}

// commit makes the file durable and gives it its name. After an error the
// target is what it was before.
func (a *atomicFile) commit() error {
	if err := a.Sync(); err != nil {
		return errors.Join(err, a.abort())
	}
	if err := a.publish(); err != nil {
		return errors.Join(err, a.abort())
	}
	if a.tempPath != "" && !a.overwrite { // the link is a second name
		if err := os.Remove(a.tempPath); err != nil {
			return errors.Join(err, a.File.Close())
		}
	}
	return errors.Join(a.File.Close(), syncDir(filepath.Dir(a.target)))
}

func (a *atomicFile) publish() error {
	if a.overwrite {
		return a.replaceTarget()
	}
	// a link cannot be made if the target appeared meanwhile
	var err error
	if a.tempPath == "" {
		err = a.linkTo(a.target)
	} else {
		// not RENAME_NOREPLACE: where O_TMPFILE is missing, so is that
		err = os.Link(a.tempPath, a.target)
	}
	if errors.Is(err, fs.ErrExist) {
		return &FileError{Path: a.target, PackedOff: wholeFile, Err: ErrExists, Detail: "it appeared while this one was written"}
	}
	return err
}

// replaceTarget renames over the target, for which the file needs a name.
func (a *atomicFile) replaceTarget() error {
	if a.tempPath == "" {
		temp := filepath.Join(filepath.Dir(a.target), tempPrefix+uuid.NewString())
		if err := a.linkTo(temp); err != nil {
			return err
		}
		a.tempPath = temp
	}
	return os.Rename(a.tempPath, a.target)
}

func (a *atomicFile) linkTo(path string) error {
	self := fmt.Sprintf("/proc/self/fd/%d", a.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// abort drops the file.
func (a *atomicFile) abort() error { return unnamedFile{a.File, a.tempPath}.close() }

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

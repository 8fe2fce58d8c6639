package fs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// An image that stores only what differs from a parent says where the parent was,
// relative to its own directory. Within the store such a place is resolved as any
// other path of the store: beneath its root and through no symbolic link, whatever an
// image claims. Parents elsewhere are found only in directories that the operator has
// named (Config.ParentDirs), where the store package looks for them by their content.

// checkedParentDirs returns the absolute paths of directories of parents, without
// symbolic links. None may show what is mounted at the mount point: the daemon would
// wait for itself.
func checkedParentDirs(dirs []string, mountPoint string) ([]string, error) {
	point, err := os.Stat(mountPoint)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMountPoint, err)
	}
	checked := make([]string, 0, len(dirs))
	for _, dir := range dirs {
		path, info, err := resolveDir(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: directory of parents: %w", ErrConfig, err)
		}
		around, err := isInside(mountPoint, info)
		below, belowErr := isInside(path, point)
		if err = errors.Join(err, belowErr); err == nil && (around || below) {
			err = fmt.Errorf("%w: of mount point %s and directory of parents %s one is inside the other", ErrConfig, mountPoint, path)
		}
		if err != nil {
			return nil, err
		}
		checked = append(checked, path)
	}
	return checked, nil
}

// resolveDir returns the absolute path of a directory, without symbolic links.
func resolveDir(dir string) (string, os.FileInfo, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	return path, info, err
}

// newParents returns what finds the parents of a store's images. One for each mount,
// so that children of one parent share its tables and its decoded frames.
func newParents(dir *storeDir, config Config) *store.Parents {
	parents := store.NewParents(config.ParentDirs)
	parents.OpenHintsWith(func(childPath, hint string) (*os.File, string, error) {
		return openHint(dir, config.ParentDirs, childPath, hint)
	})
	return parents
}

// openHint opens the parent of an image where the image says that it is.
func openHint(dir *storeDir, parentDirs []string, childPath, hint string) (*os.File, string, error) {
	if rel, ok := strings.CutPrefix(childPath, dir.display("")); ok {
		return dir.openHint(rel, hint)
	}
	for _, parentDir := range parentDirs { // the child is itself a parent that was found there
		if rel, err := filepath.Rel(parentDir, childPath); err == nil && filepath.IsLocal(rel) {
			return openHintIn(parentDir, rel, hint)
		}
	}
	return nil, "", outside(hint)
}

// openHintIn is openHint for an image in a directory that the operator has named.
func openHintIn(parentDir, rel, hint string) (*os.File, string, error) {
	dir, err := openStoreDir(parentDir)
	if err != nil {
		return nil, "", err
	}
	file, found, err := dir.openHint(rel, hint)
	if err = errors.Join(err, dir.close()); err != nil && file != nil {
		err = errors.Join(err, file.Close())
	}
	return file, found, err
}

// openHint opens the parent of the image at rel and returns the path that messages
// show.
func (d *storeDir) openHint(rel, hint string) (*os.File, string, error) {
	parent := path.Join(path.Dir(rel), hint)
	if path.IsAbs(hint) || !filepath.IsLocal(parent) {
		return nil, "", outside(hint)
	}
	file, err := d.open(parent)
	if errors.Is(err, unix.ELOOP) {
		err = notFollowed(d.display(parent), "the way there leads through a symbolic link; name its directory with --parent-dir")
	}
	if err != nil {
		return nil, "", err
	}
	if st, err := fstat(file); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, "", errors.Join(notFollowed(file.Name(), "it is not a regular file"), err, file.Close())
	}
	return file, file.Name(), nil
}

// outside is the finding about a place that a mount does not look at.
func outside(hint string) error {
	return notFollowed(hint, "it is outside the store; name its directory with --parent-dir")
}

// notFollowed is a finding about the place that an image remembers.
func notFollowed(path, detail string) error {
	const wholeFile = -1
	return &store.FileError{Path: path, PackedOff: wholeFile, Detail: detail, Err: store.ErrParent}
}

// noteStale says, once, that pages of an image are found the slow way.
func (t *tree) noteStale(rel string, img *store.Image) {
	if img.IsStale() && t.logged.first("stale\x00"+rel) {
		t.log.Info("an ancestor was packed anew since the image was; looking pages up takes longer until sabrefs rebase is run on it",
			"image", t.dir.display(rel))
	}
}

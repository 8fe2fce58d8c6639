package fs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as the kernel

// LocateMount returns the path that the table of mounts has for path, that is,
// absolute and without symbolic links, and whether a store is mounted there. It
// never asks what is mounted, whose daemon may be gone.
func LocateMount(path string) (point string, mounted bool, err error) {
	point, m, mounted, err := locateMount(path)
	return point, mounted && m.fsType == "fuse."+fsName, err
}

// resolveMountPoint follows symbolic links and refuses what is a mount point
// already, before anything asks the filesystem mounted there.
func resolveMountPoint(path string) (string, error) {
	point, m, mounted, err := locateMount(path)
	if err == nil && mounted {
		err = fmt.Errorf("%w: %s is mounted at %s", ErrMounted, m.fsType, point)
	}
	return point, err
}

// locateMount follows symbolic links, one after the other, until something is
// mounted there or the path is none.
func locateMount(path string) (point string, m mountInfo, mounted bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", m, false, fmt.Errorf("%w: %w", ErrMountPoint, err)
	}
	for range maxLinks {
		if m, mounted, err = findMount(path); mounted || err != nil {
			return path, m, mounted, err
		}
		parent, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", m, false, fmt.Errorf("%w: %w", ErrMountPoint, err)
		}
		path = filepath.Join(parent, filepath.Base(path))
		if m, mounted, err = findMount(path); mounted || err != nil {
			return path, m, mounted, err
		}
		target, isLink := readLink(path)
		if !isLink {
			return path, m, false, nil // whether it exists is asked later
		}
		path = target
	}
	return "", m, false, fmt.Errorf("%w: %s: %w", ErrMountPoint, path, unix.ELOOP)
}

// readLink returns where a symbolic link leads, and false for anything else.
func readLink(path string) (string, bool) {
	target, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	return filepath.Clean(target), true
}

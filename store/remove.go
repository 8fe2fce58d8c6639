package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNeeded is returned when an image is not removed because another one is packed
// against it.
var ErrNeeded = errors.New("image is needed by others")

// RemoveOptions change how images are removed.
type RemoveOptions struct {
	// Force removes what others need, too.
	Force bool
}

// RemoveResult says what Remove removed.
type RemoveResult struct {
	Removed []Removed
	// Orphans are the paths of the images that needed what is gone, with Force.
	Orphans []string
}

// Removed is an image or a snapshot directory that is gone.
type Removed struct {
	Name   string
	Images int
	// PackedBytes is the size of its images.
	PackedBytes int64
}

// Remove removes images and packed snapshots from the store at dir. A name is that of
// a memory file in a mount of the store (guest/mem_file), or of a directory with
// images (guest). A directory disappears from the store at once, whatever else is in
// it, and so does an image; who has it open keeps it.
//
// Images that another image of the store needs are not removed (ErrNeeded, see
// Family), unless that goes too or Force is set; what is outside of the store is not
// looked at. While an image is being packed against one of them, it fails with
// ErrBusy. Nothing is removed before all names were found to be right.
func Remove(ctx context.Context, dir string, names []string, opt RemoveOptions) (RemoveResult, error) {
	r, err := newRemoval(dir)
	if err != nil {
		return RemoveResult{}, err
	}
	defer r.close()
	for _, name := range names {
		if err := r.add(name); err != nil {
			return RemoveResult{}, err
		}
	}
	r.dropNested()
	if err := r.lockImages(); err != nil {
		return RemoveResult{}, err
	}
	orphans, err := r.findOrphans(opt.Force)
	if err != nil {
		return RemoveResult{}, err
	}
	result := RemoveResult{Orphans: orphans}
	for _, target := range r.targets {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		if err := r.remove(target); err != nil {
			return result, err
		}
		result.Removed = append(result.Removed, Removed{target.name, len(target.images), target.packedBytes})
	}
	return result, nil
}

// removal is what is to be removed from a store.
type removal struct {
	dir     string // as it was given, for messages
	path    string // without symbolic links
	root    *os.Root
	targets []*removalTarget
	locks   []*os.File
}

func newRemoval(dir string) (*removal, error) {
	path, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &removal{dir: dir, path: path, root: root}, nil
}

func (r *removal) close() {
	for _, f := range r.locks {
		_ = f.Close() // which was only locked
	}
	_ = r.root.Close()
}

func (r *removal) refuse(rel string, class error, detail string) error {
	return &FileError{Path: filepath.Join(r.dir, rel), PackedOff: wholeFile, Err: class, Detail: detail}
}

// lockImages keeps others from packing against the images, and sorts the targets so
// that the youngest go first: if not all can be removed, no child is left without its
// parent.
func (r *removal) lockImages() error {
	for _, target := range r.targets {
		for _, rel := range target.images {
			if err := r.lock(rel); err != nil {
				return err
			}
			h, err := ReadHeader(filepath.Join(r.path, rel))
			if err == nil { // else it goes all the same
				target.packedBytes += h.FileBytes
				target.depth = max(target.depth, h.Depth)
			}
		}
	}
	slices.SortStableFunc(r.targets, func(a, b *removalTarget) int { return cmp.Compare(b.depth, a.depth) })
	return nil
}

// lock waits for nobody. Who packs against an image holds a shared lock on it.
func (r *removal) lock(rel string) error {
	f, err := r.root.OpenFile(rel, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.locks = append(r.locks, f)
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return r.refuse(rel, ErrBusy, "another image is being packed against it")
	}
	if err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := r.root.Lstat(rel)
	if err != nil || !os.SameFile(locked, named) {
		return r.refuse(rel, ErrBusy, "another image took its place just now")
	}
	return nil
}

// findOrphans returns the paths of those that need what is to be removed and stay.
// Without force there may be none.
func (r *removal) findOrphans(force bool) ([]string, error) {
	staying, err := r.stayingImages()
	if err != nil {
		return nil, err
	}
	family := ReadFamily(staying)
	if unreadable := family.Unreadable(); len(unreadable) > 0 && !force {
		return nil, r.refuse("", ErrNeeded, fmt.Sprintf("there is no telling what this one needs: %v", unreadable[0]))
	}
	var needed []error
	orphans := map[string]bool{}
	for _, target := range r.targets {
		for _, rel := range target.images {
			dependents, err := family.Dependents(filepath.Join(r.path, rel))
			if err != nil {
				return nil, err
			}
			if len(dependents) > 0 {
				needed = append(needed, r.refuse(rel, ErrNeeded, r.list(dependents)+" packed against it"))
			}
			for _, path := range dependents {
				orphans[path] = true
			}
		}
	}
	if !force && len(needed) > 0 {
		return nil, errors.Join(needed...)
	}
	return r.inDir(staying, orphans), nil
}

// stayingImages are the paths of the images that are not to be removed.
func (r *removal) stayingImages() ([]string, error) {
	going := map[string]bool{}
	for _, target := range r.targets {
		for _, rel := range target.images {
			going[filepath.Join(r.path, rel)] = true
		}
	}
	images, err := ImagesBelow(r.path)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(images, func(path string) bool { return going[path] }), nil
}

// list names images as ls does: all if they are few.
func (r *removal) list(paths []string) string {
	const most = 8
	var names []string
	for _, path := range paths[:min(len(paths), most)] {
		rel, err := filepath.Rel(r.path, path)
		if err != nil {
			rel = path
		}
		names = append(names, strings.TrimSuffix(rel, ImageSuffix))
	}
	said := strings.Join(names, ", ")
	switch {
	case len(paths) > most:
		return fmt.Sprintf("%s and %d others are", said, len(paths)-most)
	case len(paths) > 1:
		return said + " are"
	}
	return said + " is"
}

// inDir returns the paths that are in the set, below the directory as it was given.
func (r *removal) inDir(paths []string, set map[string]bool) []string {
	var found []string
	for _, path := range paths {
		if rel, err := filepath.Rel(r.path, path); err == nil && set[path] {
			found = append(found, filepath.Join(r.dir, rel))
		}
	}
	return found
}

// remove removes a target for good.
func (r *removal) remove(target *removalTarget) error {
	if target.isDir {
		return r.removeDir(target.rel)
	}
	if err := r.root.Remove(target.rel); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Join(r.path, target.rel)))
}

// removeDir gives a directory the name of what a killed pack leaves, so that it is
// gone at once, and then removes it. Should that not come to an end, the next pack to
// the same place clears the rest away.
func (r *removal) removeDir(rel string) error {
	path := filepath.Join(r.path, rel)
	staging, err := createStaging(path, true) // ErrBusy if a pack is to replace it
	if err != nil {
		return err
	}
	defer staging.lock.Close()
	lock, err := lockDir(path, path) // a pack that finds it under the other name waits
	if err != nil {
		return errors.Join(err, os.Remove(staging.path))
	}
	defer lock.Close()
	aside := filepath.Join(filepath.Dir(rel), filepath.Base(staging.path))
	// not os.Rename, which does not replace the empty directory that is there
	if err := unix.Rename(path, staging.path); err != nil {
		return errors.Join(&fs.PathError{Op: "rename", Path: path, Err: err}, os.Remove(staging.path))
	}
	return errors.Join(syncDir(filepath.Dir(path)), r.root.RemoveAll(aside), syncDir(filepath.Dir(path)))
}

package store

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// digestIndex finds images below directories by the digest of their content. It may be
// used from any number of goroutines.
type digestIndex struct {
	dirs []string

	mu     sync.Mutex                // held while the directories are read, too
	images map[Digest][]indexedImage // guarded by mu
	readAt time.Time                 // guarded by mu
}

// indexedImage is an image below the directories.
type indexedImage struct {
	path  string
	depth int
}

// open opens an image with that content that is none of trail; fs.ErrNotExist says that
// there is none. What was found last time is looked at first; if it is not there any
// more, or something may have come, all is looked through again.
func (x *digestIndex) open(digest Digest, trail []fileState) (*imageFile, error) {
	if len(x.dirs) == 0 {
		return nil, fs.ErrNotExist
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := openOneOf(x.images[digest], digest, trail); f != nil {
		return f, nil
	}
	const lasts = 2 * time.Second // for a mount that is asked again and again
	if time.Since(x.readAt) < lasts {
		return nil, fs.ErrNotExist
	}
	if err := x.readLocked(); err != nil {
		return nil, err
	}
	if f := openOneOf(x.images[digest], digest, trail); f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

// openOneOf opens the first of the images that still has the content and is none of
// trail.
func openOneOf(images []indexedImage, digest Digest, trail []fileState) *imageFile {
	for _, image := range images {
		file, err := openRegular(image.path, ErrNotImage)
		if err != nil {
			continue
		}
		if f, err := readImageFile(file, image.path, openTailBytes); err == nil && f.header.Digest == digest && !f.isOneOf(trail) {
			return f
		}
		_ = file.Close() // only read
	}
	return nil
}

// readLocked reads the headers of all images below the directories; mu is held. Of
// images with the same content, those with the fewest ancestors come first: they need
// the least, and one without is in no cycle.
func (x *digestIndex) readLocked() error {
	x.images = make(map[Digest][]indexedImage)
	for _, dir := range x.dirs {
		if err := x.readDir(dir); err != nil {
			return fmt.Errorf("looking for parents: %w", err)
		}
	}
	x.readAt = time.Now()
	for _, images := range x.images {
		slices.SortStableFunc(images, func(a, b indexedImage) int { return cmp.Compare(a.depth, b.depth) })
	}
	return nil
}

// readDir leaves out what cannot be read, or is gone meanwhile.
func (x *digestIndex) readDir(dir string) error {
	root := dir + string(filepath.Separator) // makes the walk enter dir if that is a symbolic link
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil || !e.Type().IsRegular() || !strings.HasSuffix(path, ImageSuffix):
			return nil //nolint:nilerr // an image that cannot be seen is no parent
		}
		if header, err := ReadHeader(path); err == nil { // else it is no parent
			x.images[header.Digest] = append(x.images[header.Digest], indexedImage{path, header.Depth})
		}
		return nil
	})
}

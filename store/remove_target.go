package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// removalTarget is an image, or a directory with images.
type removalTarget struct {
	name   string
	rel    string // path in the store
	isDir  bool
	images []string // paths in the store
	// packedBytes and depth are those of the images that can be read.
	packedBytes int64
	depth       int
}

// add finds what a name stands for.
func (r *removal) add(name string) error {
	target, err := r.find(name)
	if err != nil {
		return err
	}
	images := []string{filepath.Join(r.path, target.rel)}
	if target.isDir {
		if images, err = ImagesBelow(images[0]); err != nil {
			return err
		}
		if len(images) == 0 {
			return r.refuse(target.rel, ErrNotImage, "no *"+ImageSuffix+" below it")
		}
	}
	for _, path := range images {
		rel, err := filepath.Rel(r.path, path)
		if err != nil {
			return err
		}
		target.images = append(target.images, rel)
	}
	r.targets = append(r.targets, target)
	return nil
}

// find prefers the image, as a mount does, unless the name ends as one of a directory.
func (r *removal) find(name string) (*removalTarget, error) {
	rel := filepath.Clean(name)
	if rel == "." || !filepath.IsLocal(rel) {
		return nil, r.refuse(name, ErrOption, "it is not a name in the store")
	}
	if err := r.checkParents(rel); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, string(filepath.Separator)) {
		for _, image := range []string{rel + ImageSuffix, rel} {
			info, err := r.root.Lstat(image)
			if err == nil && info.Mode().IsRegular() && strings.HasSuffix(image, ImageSuffix) {
				return &removalTarget{name: strings.TrimSuffix(image, ImageSuffix), rel: image}, nil
			}
		}
	}
	info, err := r.root.Lstat(rel)
	switch {
	case err != nil:
		return nil, r.notFound(rel, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, r.refuse(rel, ErrOption, "it is a symbolic link")
	case !info.IsDir():
		return nil, r.refuse(rel, ErrNotImage, "it is neither an image nor a directory with images")
	}
	return &removalTarget{name: rel, rel: rel, isDir: true}, nil
}

// checkParents refuses a name that leads through a symbolic link, or into what a pack
// under way has not finished: ls shows neither.
func (r *removal) checkParents(rel string) error {
	for dir := filepath.Dir(rel); dir != "."; dir = filepath.Dir(dir) {
		info, err := r.root.Lstat(dir)
		if err != nil {
			return r.notFound(rel, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return r.refuse(rel, ErrOption, fmt.Sprintf("%s is a symbolic link", dir))
		}
	}
	for part := range strings.SplitSeq(rel, string(filepath.Separator)) {
		if IsStaging(part) {
			return r.notFound(rel, fs.ErrNotExist)
		}
	}
	return nil
}

// notFound names the path that was looked for instead of a part of it.
func (r *removal) notFound(rel string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist
	}
	return fmt.Errorf("%s: %w", filepath.Join(r.dir, rel), err)
}

// dropNested keeps one of what is named twice, as itself or within a directory.
func (r *removal) dropNested() {
	all := r.targets
	r.targets = nil
	for i, target := range all {
		covered := slices.ContainsFunc(all[:i], func(other *removalTarget) bool { return other.rel == target.rel }) ||
			slices.ContainsFunc(all, func(other *removalTarget) bool {
				return other.isDir && strings.HasPrefix(target.rel, other.rel+string(filepath.Separator))
			})
		if !covered {
			r.targets = append(r.targets, target)
		}
	}
}

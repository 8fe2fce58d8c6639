package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ImagesBelow returns the paths of the images below a directory, in the order of
// their names. What packs under way have not given its name yet is not among them,
// and symbolic links are not followed, but for dir itself.
func ImagesBelow(dir string) ([]string, error) {
	// the separator makes the walk enter dir if that is a symbolic link
	root := dir + string(filepath.Separator)
	var images []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && IsStaging(e.Name()) {
			return fs.SkipDir
		}
		if e.Type().IsRegular() && strings.HasSuffix(path, ImageSuffix) {
			images = append(images, path)
		}
		return nil
	})
	return images, err
}

// Family is who is packed against whom among some images, as their headers said when
// it was read. An image needs another one if it is packed against the content of that,
// and remembers it as its parent; an image whose parent is not where it was, or has
// become another, needs whatever has the content.
type Family struct {
	members    []familyMember
	unreadable []error
}

// familyMember is a child of whatever image.
type familyMember struct {
	path string
	info fs.FileInfo
	ref  ParentRef
	// hinted is the file at the place that the image remembers, nil if there is none.
	hinted fs.FileInfo
	// hintHolds says that hinted has the content that the image is packed against.
	hintHolds bool
}

// ReadFamily reads the headers of images, and opens no parent. Files that are no
// images, or are gone, are left out: they need nothing. Of what cannot be read for
// another reason, or is of a newer format, nobody can tell what it needs: see
// Unreadable.
func ReadFamily(images []string) *Family {
	f := &Family{}
	for _, path := range images {
		m, isChild, err := readMember(path)
		switch {
		case errors.Is(err, ErrNotImage) || errors.Is(err, fs.ErrNotExist):
		case err != nil:
			f.unreadable = append(f.unreadable, err)
		case isChild:
			f.members = append(f.members, m)
		}
	}
	return f
}

func readMember(path string) (m familyMember, isChild bool, err error) {
	h, ref, err := ReadParentRef(path)
	if err != nil || !h.HasParent() {
		return m, false, err
	}
	m = familyMember{path: path, ref: ref}
	if m.info, err = os.Stat(path); err != nil {
		return m, false, err
	}
	if ref.Path == "" {
		return m, true, nil
	}
	hinted := hintedPath(path, ref.Path)
	if info, err := os.Stat(hinted); err == nil {
		other, err := ReadHeader(hinted)
		m.hinted, m.hintHolds = info, err == nil && other.Digest == ref.Digest
	}
	return m, true, nil
}

// Unreadable are the errors of the images that could not be read.
func (f *Family) Unreadable() []error { return f.unreadable }

// Dependents returns the paths of the images that need image. If image itself cannot
// be read, these are the ones that remember its place.
func (f *Family) Dependents(image string) ([]string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return nil, err
	}
	header, err := ReadHeader(image)
	var needing []string
	for i := range f.members {
		m := &f.members[i]
		if os.SameFile(info, m.info) || err == nil && header.Digest != m.ref.Digest {
			continue
		}
		leadsHere := m.hinted != nil && os.SameFile(info, m.hinted)
		if leadsHere || err == nil && !m.hintHolds {
			needing = append(needing, m.path)
		}
	}
	return needing, nil
}

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Parents finds the parents of images, and shares what is open among the images
// that were opened with it: two children of one parent have its tables once, and in
// a [FrameCache] its frames. It may be used from any number of goroutines.
type Parents struct {
	openHint func(childPath, hint string) (*os.File, string, error)
	index    digestIndex

	mu       sync.Mutex
	open     map[fileState]*Image  // guarded by mu
	cacheIDs map[imageState]uint32 // guarded by mu
}

// NewParents returns a finder that looks where an image says that its parent is,
// relative to the directory of the image, and then among all images below dirs, by
// the digest of the content.
func NewParents(dirs []string) *Parents {
	return &Parents{openHint: openBesideChild, index: digestIndex{dirs: dirs}, open: make(map[fileState]*Image), cacheIDs: make(map[imageState]uint32)}
}

// OpenHintsWith replaces how the place that an image remembers is opened. It is
// called before any image is opened; open is called from several goroutines at once.
func (p *Parents) OpenHintsWith(open func(childPath, hint string) (file *os.File, path string, err error)) {
	p.openHint = open
}

// hintedPath is where the image at childPath says that an ancestor is.
func hintedPath(childPath, hint string) string { return filepath.Join(filepath.Dir(childPath), hint) }

func openBesideChild(childPath, hint string) (*os.File, string, error) {
	path := hintedPath(childPath, hint)
	file, err := openRegular(path, ErrNotImage)
	return file, path, err
}

// Locate returns where the parent of the image at childPath is.
func (p *Parents) Locate(childPath string, ref ParentRef) (path string, err error) {
	var trail []fileState
	if child, err := os.Open(childPath); err == nil { // it may have the content of its parent
		defer child.Close()
		if f, err := readImageFile(child, childPath, trailerBytes); err == nil {
			trail = append(trail, f.state)
		}
	}
	f, err := p.find(childPath, ref, trail)
	if err != nil {
		return "", err
	}
	return f.path, f.Close()
}

// find opens the file of a parent: the one at the remembered place if it has the
// content, else one below the directories. It is none of trail, the image and its
// descendants that are being opened.
func (p *Parents) find(childPath string, ref ParentRef, trail []fileState) (*imageFile, error) {
	f, hintErr := p.findByHint(childPath, ref, trail)
	if hintErr == nil {
		return f, nil
	}
	f, err := p.index.open(ref.Digest, trail)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hintErr
	}
	return f, err
}

func (p *Parents) findByHint(childPath string, ref ParentRef, trail []fileState) (*imageFile, error) {
	if ref.Path == "" {
		return nil, parentError(childPath, "it does not say where %s is", ref.describe())
	}
	if err := checkHint(ref.Path); err != nil {
		return nil, inFile(childPath, err)
	}
	file, path, err := p.openHint(childPath, ref.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, parentError(childPath, "%s is not there", ref.describe())
	case err != nil:
		return nil, fmt.Errorf("%s: its parent: %w", childPath, err)
	}
	f, err := readImageFile(file, path, openTailBytes)
	if err == nil && f.header.Digest != ref.Digest {
		err = parentError(childPath, "%s has other content: its digest is %v, that of the parent was %v", path, f.header.Digest, ref.Digest)
	}
	if err == nil && f.isOneOf(trail) {
		err = parentError(path, "it is an ancestor of itself")
	}
	if err != nil {
		return nil, errors.Join(ofParent(childPath, err), file.Close())
	}
	return f, nil
}

// ofParent names the child in an error about its parent, unless it does so already.
func ofParent(childPath string, err error) error {
	if found, ok := errors.AsType[*FileError](err); ok && found.Path == childPath {
		return err
	}
	return fmt.Errorf("%s: its parent: %w", childPath, err)
}

func parentError(childPath, format string, args ...any) error {
	return inFile(childPath, findingAt(ErrParent, wholeFile, format, args...))
}

// checkHint refuses what no packer writes.
func checkHint(hint string) error {
	if len(hint) > MaxPathBytes || strings.ContainsRune(hint, 0) || filepath.IsAbs(hint) {
		return findingAt(ErrParent, wholeFile, "the path of the parent is not a relative path: %.64q", hint)
	}
	return nil
}

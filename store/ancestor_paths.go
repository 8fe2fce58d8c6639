package store

import (
	"bytes"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A chain is opened one image after the other, for each says where its parent is. On a
// cold disk each takes some accesses that follow one another, a few tenths of a
// millisecond. So an image also remembers where its other ancestors are, and if it has
// itself come from the disk, all of them are requested at once. What is remembered is a
// hint: the chain is opened as if it were not there.
const (
	// coldReadTime is how long reading both ends of a file takes at least if they
	// come from a disk.
	coldReadTime = 150 * time.Microsecond
	// requestsAtOnce is how many files are requested at a time.
	requestsAtOnce = 16
)

func encodePaths(paths []string) []byte {
	var b []byte
	for _, path := range paths {
		b = append(append(b, path...), 0)
	}
	return b
}

// ancestorPaths returns where the ancestors of the parent were, the root first.
func (img *Image) ancestorPaths() ([]string, error) {
	b, err := img.readOptional(SectionAncestorPaths, MaxDepth*(MaxPathBytes+1))
	if err != nil {
		return nil, err
	}
	var paths []string
	for path := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		if len(path) > 0 {
			paths = append(paths, string(path))
		}
	}
	return paths, nil
}

// requestAncestors has the disk read what opening reads of the ancestors, in the
// background.
func (img *Image) requestAncestors(parents *Parents) {
	paths, err := img.ancestorPaths()
	if err != nil || len(paths) == 0 { // a hint
		return
	}
	img.around.hints.Go(func() {
		var group errgroup.Group
		group.SetLimit(max(requestsAtOnce, runtime.GOMAXPROCS(0)))
		for i := range paths {
			path := paths[len(paths)-1-i] // those that are opened first
			group.Go(func() error { return parents.requestEnds(img.path, path) })
		}
		_ = group.Wait() // what is not there, or another file, is found when it is opened
	})
}

func (p *Parents) requestEnds(childPath, hint string) error {
	if err := checkHint(hint); err != nil {
		return err
	}
	file, _, err := p.openHint(childPath, hint)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	_ = unix.Fadvise(int(file.Fd()), 0, headerBytes, unix.FADV_WILLNEED)
	return unix.Fadvise(int(file.Fd()), max(0, info.Size()-openTailBytes), 0, unix.FADV_WILLNEED)
}

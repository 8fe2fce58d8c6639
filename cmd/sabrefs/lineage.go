package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"sabrefs/store"
)

// ancestry yields the path of an image, that of its parent, and so on, as far as they
// can be found: to open the image says why a parent cannot. A parent whose header is
// damaged is the last.
func ancestry(image string, parents *store.Parents) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path, depth := image, 0; path != "" && depth <= store.MaxDepth; depth++ {
			if !yield(path) {
				return
			}
			path = parentOf(path, parents)
		}
	}
}

// parentOf returns where the parent of an image is, or nothing.
func parentOf(path string, parents *store.Parents) string {
	h, ref, err := store.ReadParentRef(path)
	if err != nil || !h.HasParent() {
		return ""
	}
	parent, err := parents.Locate(path, ref)
	if err == nil {
		return parent
	}
	remembered := filepath.Join(filepath.Dir(path), ref.Path)
	if _, err := store.ReadHeader(remembered); isDamage(err) {
		return remembered
	}
	return ""
}

func isDamage(err error) bool {
	return errors.Is(err, store.ErrNotImage) || errors.Is(err, store.ErrTruncated) || errors.Is(err, store.ErrCorrupt)
}

// ofChild names the image if what is wrong is in one of its parents.
func ofChild(path string, err error) error {
	if f, ok := errors.AsType[*store.FileError](err); ok && f.Path != path && !strings.HasPrefix(err.Error(), path+": ") {
		return fmt.Errorf("%s: in a parent: %w", path, err)
	}
	return err
}

// lineage is what inspect shows of the parents of an image.
type lineage struct {
	Depth           int        `json:"depth"`
	InheritedFrames int64      `json:"inherited_frames"`
	Parent          *parentRow `json:"parent"`
	Layers          []layerRow `json:"layers"` // empty without a parent, or if there is an error
}

// layerRow is one image of a chain.
type layerRow struct {
	Path        string `json:"path"`
	UUID        string `json:"uuid"`
	Digest      string `json:"digest"`
	Depth       int    `json:"depth"`
	FirstFrame  int64  `json:"first_frame"`
	Frames      int64  `json:"frames"`
	RawBytes    int64  `json:"raw_bytes"`
	PackedBytes int64  `json:"packed_bytes"`
}

// addLineage tells of the parents. With an error of the chain, the image was opened
// alone, and that is said instead.
func (l *lineage) addLineage(img *store.Image, chainErr error) error {
	h := img.Header()
	l.Depth, l.InheritedFrames, l.Layers = h.Depth, h.InheritedFrames, []layerRow{}
	ref, err := img.ParentRef()
	if err != nil || !h.HasParent() {
		return err
	}
	l.Parent = newParentRow(&h, ref)
	if chainErr != nil {
		l.Parent.Error = oneLine(chainErr)
		return nil
	}
	l.Parent.Stale = img.IsStale()
	for _, layer := range img.Layers() {
		own := &layer.Header
		l.Layers = append(l.Layers, layerRow{
			Path: layer.Path, UUID: own.UUID.String(), Digest: own.Digest.String(), Depth: layer.Depth,
			FirstFrame: layer.FirstFrame, Frames: own.FrameCount, RawBytes: own.RawBytes, PackedBytes: own.FileBytes,
		})
	}
	return nil
}

func (l *lineage) print(row func(name, format string, args ...any)) {
	if l.Parent == nil {
		return
	}
	row("parent", "%s", cmp.Or(l.Parent.Path, "of unknown place"))
	row("  uuid", "%s", l.Parent.UUID)
	row("  content digest", "%s", l.Parent.Digest)
	row("depth", "%d, %d frames are inherited", l.Depth, l.InheritedFrames)
	switch {
	case l.Parent.Error != "":
		row("chain", "cannot be opened: %s", l.Parent.Error)
	case l.Parent.Stale:
		row("chain", "stale: a parent was written anew since; `sabrefs rebase` makes it as quick as it was")
	default:
		row("chain", "as packed")
	}
	for _, layer := range l.Layers {
		row("layer", "%d: %s, %s, %d frames from %d", layer.Depth, layer.Path, humanBytes(layer.PackedBytes), layer.Frames, layer.FirstFrame)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openAsParent opens an image to make children of it. Until it is closed, [Remove] does
// not remove it.
func openAsParent(path string, opt OpenOptions) (*Image, error) {
	img, err := Open(path, opt)
	if err != nil {
		return nil, err
	}
	if err := img.lockParent(); err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// lockParent holds the file of an image that becomes a parent, or stays one.
func (img *Image) lockParent() error {
	err := unix.Flock(int(img.file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &FileError{Path: img.path, PackedOff: wholeFile, Err: ErrBusy, Detail: "it is being removed"}
	}
	if err != nil {
		return &fs.PathError{Op: "lock", Path: img.path, Err: err}
	}
	info, err := img.file.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return &FileError{Path: img.path, PackedOff: wholeFile, Err: ErrBusy, Detail: "it was removed, or replaced, just now"}
	}
	return nil
}

// packChild packs a memory file into an image that shares the pages of parent.
func packChild(ctx context.Context, src, dst string, opt PackOptions) (PackResult, error) {
	begin := time.Now()
	parent, err := openAsParent(opt.Parent, OpenOptions{Engine: opt.Engine, Parents: opt.Parents})
	if err != nil {
		return PackResult{}, err
	}
	result, err := parent.packChild(ctx, src, dst, opt)
	result.Duration = time.Since(begin)
	return result, errors.Join(err, parent.Close())
}

func (img *Image) packChild(ctx context.Context, src, dst string, opt PackOptions) (PackResult, error) {
	if err := img.inheritWorkingSet(&opt); err != nil {
		return PackResult{}, err
	}
	if err := opt.normalise(); err != nil {
		return PackResult{}, err
	}
	info, err := os.Stat(src)
	if err != nil {
		return PackResult{}, err
	}
	if err := checkNotSame(info, dst); err != nil {
		return PackResult{}, err
	}
	inherit, err := newEqualPages(ctx, img)
	if err != nil {
		return PackResult{}, err
	}
	result, err := img.packSharing(ctx, src, packTarget{path: dst, like: info}, inherit, opt)
	return result, errors.Join(err, inherit.close())
}

// packSharing packs what inherit does not find.
func (img *Image) packSharing(ctx context.Context, src string, target packTarget, inherit *equalPages, opt PackOptions) (PackResult, error) {
	source, err := img.openChildSource(ctx, src, inherit, opt)
	if err != nil {
		return PackResult{}, err
	}
	defer source.Close()
	if err := img.checkStays(opt.replacedDir); err != nil {
		return PackResult{}, err
	}
	if err := img.becomeParent(&target, opt.placedAt, source.rawBytes()); err != nil {
		return PackResult{}, err
	}
	target.inherit = inherit
	return packSource(ctx, source, target, opt)
}

// inheritWorkingSet adds the parent's working set behind the own one, unless there is
// to be none.
func (img *Image) inheritWorkingSet(opt *PackOptions) error {
	if opt.WorkingSet != nil && len(opt.WorkingSet) == 0 {
		return nil
	}
	inherited, err := img.WorkingSet()
	opt.WorkingSet = append(slices.Clip(opt.WorkingSet), inherited...)
	return err
}

// openChildSource opens what is packed: a memory file, or a diff over the parent.
func (img *Image) openChildSource(ctx context.Context, src string, inherit *equalPages, opt PackOptions) (memorySource, error) {
	if !opt.Diff && opt.DiffBitmap == "" {
		return openRawFile(src)
	}
	return openDiffOf(ctx, src, opt.DiffBitmap, img, inherit)
}

// becomeParent fills in what the target needs to be a child of img, and refuses what
// cannot be one. placedAt is the path of the target if it is to be moved.
func (img *Image) becomeParent(target *packTarget, placedAt string, rawBytes int64) error {
	if placedAt == "" {
		placedAt = target.path
	}
	if err := img.checkNotAncestor(target.path); err != nil {
		return err
	}
	switch {
	case rawBytes < img.header.RawBytes:
		return inFile(img.path, findingAt(ErrParent, wholeFile, "it has %d bytes of memory, its child would have %d", img.header.RawBytes, rawBytes))
	case img.depth() >= MaxDepth:
		return inFile(img.path, findingAt(ErrLimit, wholeFile, "it has %d ancestors, and no image may have more; flatten it", img.depth()))
	}
	childDir, err := futurePath(filepath.Dir(placedAt))
	if err != nil {
		return err
	}
	target.parent = img
	if target.parentPath, err = relativePath(childDir, img.path); err != nil {
		return err
	}
	for _, layer := range img.chain[:img.depth()] {
		path, err := relativePath(childDir, layer.path)
		if err != nil {
			return err
		}
		target.ancestors = append(target.ancestors, path)
	}
	return nil
}

// checkNotAncestor refuses a target that is the image or an ancestor: its children
// would lose what they inherit.
func (img *Image) checkNotAncestor(target string) error {
	info, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	found, err := img.hasFile(info)
	if found {
		return &FileError{Path: target, PackedOff: wholeFile, Err: ErrParent, Detail: "it would become an ancestor of itself"}
	}
	return err
}

// checkStays refuses to replace a directory that has the image or an ancestor.
func (img *Image) checkStays(dir string) error {
	if dir == "" {
		return nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	replaced, err := realPath(dir)
	if err != nil {
		return err
	}
	for _, layer := range img.chain {
		path, err := realPath(layer.path)
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(replaced, path); err == nil && filepath.IsLocal(rel) {
			return &FileError{Path: dir, PackedOff: wholeFile, Err: ErrParent, Detail: "to replace it would remove " + path + ", which the new image needs"}
		}
	}
	return nil
}

// relativePath is the path of an ancestor relative to the directory of its child, which
// has no symbolic links, as the result has none: it holds wherever both are moved together.
func relativePath(childDir, ancestor string) (string, error) {
	path, err := realPath(ancestor)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(childDir, path)
	if err == nil && len(rel) > MaxPathBytes {
		err = fmt.Errorf("%s: the path of the parent, relative to its child, has %d bytes, at most %d: %w", ancestor, len(rel), MaxPathBytes, ErrLimit)
	}
	return rel, err
}

// futurePath is realPath for a directory that may not be there yet.
func futurePath(dir string) (string, error) {
	path, err := realPath(dir)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if parent, err = futurePath(parent); err == nil {
			return filepath.Join(parent, filepath.Base(dir)), nil
		}
	}
	return path, err
}

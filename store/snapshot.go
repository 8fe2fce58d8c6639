package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ImageSuffix ends the names of images: mem_file is packed to mem_file.sabre.
const ImageSuffix = ".sabre"

// memoryNames are the names that VMMs and their tools give memory files:
// Firecracker and its SDK, Cloud Hypervisor, libvirt and QEMU recipes.
var memoryNames = []string{"mem_file", "memfile", "memory", "memory.bin", "memory-ranges", "mem", "*.mem"}

// MemoryNames tells memory files from the other files of a snapshot, by the
// usual names and by additional patterns (path.Match, on the base name).
type MemoryNames struct{ extra []string }

// NewMemoryNames checks the additional patterns.
func NewMemoryNames(patterns []string) (MemoryNames, error) {
	for _, p := range patterns {
		if _, err := filepath.Match(p, ""); err != nil {
			return MemoryNames{}, fmt.Errorf("%w: memory pattern %q: %w", ErrOption, p, err)
		}
	}
	return MemoryNames{extra: patterns}, nil
}

// Match reports whether a file of this base name is a memory file.
func (n MemoryNames) Match(name string) bool {
	for _, patterns := range [][]string{memoryNames, n.extra} {
		for _, p := range patterns {
			if ok, err := filepath.Match(p, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// SnapshotResult says what packing or unpacking a snapshot directory did.
type SnapshotResult struct {
	// Images has one result per memory file, by its path in the snapshot.
	Images map[string]PackResult `json:"images"`
	// CopiedFiles and CopiedBytes count the files kept byte for byte.
	CopiedFiles int64 `json:"copied_files"`
	CopiedBytes int64 `json:"copied_bytes"`
	// Skipped are sockets, pipes and devices, which no snapshot needs.
	Skipped []string `json:"skipped,omitempty"`
}

// PackSnapshot packs a snapshot directory: memory files become images, all
// else is copied byte for byte. dst appears whole or not at all. It fails with
// ErrBusy if another process packs to dst, with ErrOption if the snapshot has
// no memory file.
func PackSnapshot(ctx context.Context, src, dst string, names MemoryNames, opt PackOptions) (SnapshotResult, error) {
	result := SnapshotResult{Images: make(map[string]PackResult)}
	progress := cumulate(opt.Progress)
	convert := func(from, to string) (bool, error) {
		if !names.Match(filepath.Base(from)) {
			return false, nil
		}
		rel, err := filepath.Rel(src, from)
		if err != nil {
			return false, err
		}
		own := opt
		if opt.ForFile != nil {
			if own, err = opt.ForFile(rel, opt); err != nil {
				return false, err
			}
		}
		own.Progress, own.placedAt, own.replacedDir = progress.next(), filepath.Join(dst, rel)+ImageSuffix, dst
		result.Images[rel], err = PackFile(ctx, from, to+ImageSuffix, own)
		return true, err
	}
	err := copySnapshot(ctx, src, dst, opt.Overwrite, &result, convert,
		"no memory file found; the usual names are "+strings.Join(memoryNames, ", "))
	return result, err
}

// UnpackSnapshot is the inverse of PackSnapshot.
func UnpackSnapshot(ctx context.Context, src, dst string, opt UnpackOptions) (SnapshotResult, error) {
	result := SnapshotResult{Images: make(map[string]PackResult)}
	progress := cumulate(opt.Progress)
	convert := func(from, to string) (bool, error) {
		name, ok := strings.CutSuffix(to, ImageSuffix)
		if !ok {
			return false, nil
		}
		opt.Progress = progress.next()
		h, err := UnpackFile(ctx, from, name, opt)
		if rel, relErr := filepath.Rel(src, from); relErr == nil {
			result.Images[rel] = PackResult{RawBytes: h.RawBytes, PackedBytes: h.FileBytes, UUID: h.UUID, Digest: h.Digest.String()}
		}
		return true, err
	}
	err := copySnapshot(ctx, src, dst, opt.Overwrite, &result, convert, "no image (*"+ImageSuffix+") found")
	return result, err
}

// cumulative turns the progress of file after file into one.
type cumulative struct {
	report func(int64)
	base   int64
	last   int64
}

func cumulate(report func(int64)) *cumulative { return &cumulative{report: report} }

// next returns the progress function for the next file.
func (c *cumulative) next() func(int64) {
	if c.report == nil {
		return nil
	}
	c.base = c.last
	return func(done int64) {
		c.last = c.base + done
		c.report(c.last)
	}
}

// snapshotCopier copies a tree into a staging directory.
type snapshotCopier struct {
	ctx     context.Context //nolint:containedctx // lives as long as one copySnapshot
	src     string
	staging string
	result  *SnapshotResult
	// convert writes a file in its other form and returns true, or returns
	// false if it is to be copied.
	convert func(from, to string) (bool, error)
	dirs    []copiedDir
}

// copiedDir is a directory that gets its mode when it is complete.
type copiedDir struct {
	path string
	mode fs.FileMode
}

// finishDirs gives the directories their modes and makes their entries
// durable, the innermost first.
func (c *snapshotCopier) finishDirs() error {
	for _, d := range slices.Backward(c.dirs) {
		if err := errors.Join(os.Chmod(d.path, d.mode), syncDir(d.path)); err != nil {
			return err
		}
	}
	return nil
}

func (c *snapshotCopier) copyDir(to string, mode fs.FileMode) error {
	c.dirs = append(c.dirs, copiedDir{to, mode})
	const ownerOnly = 0o700
	return os.Mkdir(to, ownerOnly)
}

func copySnapshot(ctx context.Context, src, dst string, overwrite bool, result *SnapshotResult, convert func(from, to string) (bool, error), noneFound string) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if err := checkNotInside(src, dst); err != nil {
		return err
	}
	staging, err := createStaging(dst, overwrite)
	if err != nil {
		return err
	}
	c := snapshotCopier{ctx: ctx, src: src, staging: staging.path, result: result, convert: convert}
	// the separator makes it follow src itself if that is a symbolic link
	if err := filepath.WalkDir(src+string(filepath.Separator), c.visit); err != nil {
		return errors.Join(err, staging.abort())
	}
	if len(result.Images) == 0 {
		return errors.Join(&FileError{Path: src, PackedOff: wholeFile, Err: ErrOption, Detail: noneFound}, staging.abort())
	}
	if err := c.finishDirs(); err != nil {
		return errors.Join(err, staging.abort())
	}
	return staging.commit(info.Mode())
}

// checkNotInside refuses a target inside the source, which would never end.
func checkNotInside(src, dst string) error {
	realSrc, err := realPath(src)
	if err != nil {
		return err
	}
	realDir, err := realPath(filepath.Dir(filepath.Clean(dst)))
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(realSrc, filepath.Join(realDir, filepath.Base(dst))); err == nil && filepath.IsLocal(rel) {
		return &FileError{Path: dst, PackedOff: wholeFile, Err: ErrOption, Detail: "the target is inside the source"}
	}
	return nil
}

// realPath is the absolute path without symbolic links.
func realPath(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(resolved)
}

func (c *snapshotCopier) visit(from string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	rel, err := filepath.Rel(c.src, from)
	if err != nil || rel == "." {
		return err
	}
	to := filepath.Join(c.staging, rel)
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case entry.IsDir():
		return c.copyDir(to, info.Mode().Perm())
	case entry.Type()&fs.ModeSymlink != 0:
		return copySymlink(from, to)
	case !entry.Type().IsRegular():
		c.result.Skipped = append(c.result.Skipped, rel)
		return nil
	}
	if converted, err := c.convert(from, to); converted || err != nil {
		return err
	}
	c.result.CopiedFiles++
	c.result.CopiedBytes += info.Size()
	return copyFile(from, to, info)
}

func copySymlink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

// copyFile copies a file with its mode and time, durably.
func copyFile(from, to string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n != info.Size() {
		err = &FileError{Path: from, PackedOff: n, Err: ErrChanged, Detail: fmt.Sprintf("it had %d bytes", info.Size())}
	}
	// the umask does not apply to a copy
	if err := errors.Join(err, out.Chmod(info.Mode().Perm()), out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

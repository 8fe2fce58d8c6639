package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"sabrefs/store"
)

// childFlags make an image of what differs from a parent.
type childFlags struct {
	parent string
	diff   bool
	bitmap string
	dirs   parentFlags
}

func (c *childFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.parent, "parent", "", "image, or packed snapshot, that has most of the pages: store only what differs")
	f.BoolVar(&c.diff, "diff", false, "memory files are diffs: a hole stands for what the parent has (needs --parent)")
	f.StringVar(&c.bitmap, "bitmap", "", "file with one bit for each page: the pages that a diff without holes has (implies --diff)")
	c.dirs.add(f)
}

// check refuses flags that do not go together.
func (c *childFlags) check(srcIsDir bool) error {
	switch {
	case c.parent != "":
	case c.bitmap != "":
		return usageError{errors.New("--bitmap without --parent: the other pages are those of a parent")}
	case c.diff:
		return usageError{errors.New("--diff without --parent: a hole stands for what the parent has")}
	case len(c.dirs.dirs) > 0:
		return usageError{errors.New("--parent-dir without --parent: there is nothing to look for")}
	}
	if c.bitmap != "" && srcIsDir {
		return usageError{errors.New("--bitmap is for a single memory file, and the source is a directory")}
	}
	return nil
}

// apply sets what is the same for all memory files.
func (c *childFlags) apply(opt *store.PackOptions) (err error) {
	if c.parent == "" {
		return nil
	}
	opt.Diff, opt.DiffBitmap = c.diff || c.bitmap != "", c.bitmap
	opt.Parents, err = c.dirs.finder()
	return err
}

// parentsOf returns the parent of each memory file, given by their paths in the
// snapshot: in a packed snapshot it has the same path. An image is the parent of a
// single memory file only.
func (c *childFlags) parentsOf(names []string) (map[string]string, error) {
	info, err := os.Stat(c.parent)
	if err != nil {
		return nil, fmt.Errorf("--parent: %w", err)
	}
	if !info.IsDir() && len(names) > 1 {
		return nil, usageError{fmt.Errorf("--parent %s is one image, and there are %d memory files; give a packed snapshot", c.parent, len(names))}
	}
	parents := make(map[string]string, len(names))
	for _, name := range names {
		parents[name] = c.parent
		if !info.IsDir() {
			continue
		}
		parents[name] = filepath.Join(c.parent, name+store.ImageSuffix)
		if _, err := os.Stat(parents[name]); err != nil {
			return nil, fmt.Errorf("%s: %w: %s has no %s", name, store.ErrParent, c.parent, name+store.ImageSuffix)
		}
	}
	return parents, nil
}

// forFiles makes each memory file of a snapshot the child of its parent, after what
// before does to the options.
func forFiles(parents map[string]string, before func(string, store.PackOptions) (store.PackOptions, error)) func(string, store.PackOptions) (store.PackOptions, error) {
	return func(name string, opt store.PackOptions) (store.PackOptions, error) {
		opt.Parent = parents[name]
		if before == nil {
			return opt, nil
		}
		return before(name, opt)
	}
}

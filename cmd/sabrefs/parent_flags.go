package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/pflag"

	"sabrefs/store"
)

// parentFlags say where the parents of images may be.
type parentFlags struct{ dirs []string }

func (p *parentFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&p.dirs, "parent-dir", nil, "directory to look for parents that are not where an image says (repeatable)")
}

// finder refuses what is no directory: a typing error would show much later, as a
// parent that is missing.
func (p *parentFlags) finder() (*store.Parents, error) {
	for _, dir := range p.dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("--parent-dir: %w", err)
		}
		if !info.IsDir() {
			return nil, usageError{fmt.Errorf("--parent-dir %s: it is not a directory", dir)}
		}
	}
	return store.NewParents(p.dirs), nil
}

// fileID names a file, whatever path leads to it.
type fileID struct{ device, inode uint64 }

func fileIDOf(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("%s: the system does not say which file it is", path)
	}
	return fileID{stat.Dev, stat.Ino}, nil
}

// parentRow is what an image says of its parent, as JSON.
type parentRow struct {
	Name   string `json:"name,omitempty"` // in a mount of the store, if it is in there
	Path   string `json:"path"`           // where it is; where it was, if nobody looked or it is not there
	UUID   string `json:"uuid"`
	Digest string `json:"digest"`
	Stale  bool   `json:"stale"`           // a parent was written anew since
	Error  string `json:"error,omitempty"` // what is wrong with it
}

// newParentRow returns nil for an image without a parent.
func newParentRow(h *store.Header, ref store.ParentRef) *parentRow {
	if !h.HasParent() {
		return nil
	}
	return &parentRow{Path: ref.Path, UUID: ref.UUID.String(), Digest: ref.Digest.String()}
}

package fs

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// prefetchEagerly begins a session for every image of the store that has a working
// set. The kernel takes pages only of files that it knows, so another process
// looks them up first.
func (s *Server) prefetchEagerly() {
	select {
	case <-s.ready:
	case <-s.ending.Done():
		return
	}
	ctx := s.ending
	names, err := s.tree.memoryNames(ctx)
	if err != nil && ctx.Err() == nil {
		s.config.Logger.Error("listing the store for prefetch failed", "err", err)
	}
	for _, name := range names {
		err := s.config.LookUp(ctx, []string{filepath.Join(s.config.MountPoint, name)})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.config.Logger.Warn("a file cannot be looked up for prefetch", "file", name, "err", err)
			continue
		}
		s.beginEager(name)
	}
}

// beginEager begins the session of a file that the kernel knows.
func (s *Server) beginEager(name string) {
	inode := s.root.EmbeddedInode()
	for part := range strings.SplitSeq(name, "/") {
		if inode = inode.GetChild(part); inode == nil {
			return // forgotten already
		}
	}
	node, ok := inode.Operations().(*memNode)
	if !ok {
		return
	}
	if err := node.beginEagerUse(); err != nil {
		s.tree.report("prefetch", node.rel, err)
	}
}

// beginEagerUse begins a session that no close ends, unless there is one.
func (n *memNode) beginEagerUse() error {
	image, err := n.acquire()
	if err != nil {
		return err
	}
	defer n.release(image)
	stats := n.tree.files.of(n.name(), &n.header)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.use.eager = true
	if n.use.session == nil {
		n.use.session = n.tree.ahead.begin(n, image, false)
		stats.began(n.use.session)
	}
	return nil
}

// memoryNames lists the memory files of the store, as the mount shows them.
func (t *tree) memoryNames(ctx context.Context) ([]string, error) {
	var names []string
	var walk func(rel string) error
	walk = func(rel string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir, err := t.dir.open(rel)
		if err != nil {
			return err
		}
		entries, err := dir.Readdirnames(-1)
		if err = errors.Join(err, dir.Close()); err != nil {
			return err
		}
		for _, name := range entries {
			child := path.Join(rel, name)
			st, err := t.dir.stat(child)
			switch {
			case err != nil || isHidden(name):
			case st.Mode&unix.S_IFMT == unix.S_IFDIR:
				if err := walk(child); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			default:
				if base, ok := memoryName(name); ok && t.isImageFile(child, &st) {
					names = append(names, path.Join(rel, base))
				}
			}
		}
		return nil
	}
	err := walk(rootRel)
	return names, err
}

package fs

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"sabrefs/store"
)

const (
	// maxRequestBytes is the largest READ, the most the kernel allows by
	// default.
	maxRequestBytes = 1 << 20
	// maxBackground is how many read-ahead requests the kernel sends at once:
	// enough for every core of a large host, 32 MiB of replies at most.
	maxBackground = 32
	// entryTimeout is how long the kernel trusts a name it has found.
	entryTimeout = time.Second

	fsName = "sabrefs" // the mount's type is fuse.sabrefs
)

// Server serves one mount.
type Server struct {
	config Config
	tree   *tree
	root   *dirNode
	fuse   *fuse.Server
	done   chan struct{} // closed when the mount is gone and all is released

	ready  chan struct{}      // closed when the mount can be used
	ending context.Context    //nolint:containedctx // ends when the mount is gone, before anything is released
	end    context.CancelFunc // ends it
	eager  sync.WaitGroup     // what looks at the store by itself
}

// Mount mounts a store and serves it until it is unmounted. It returns when
// the mount can be used. The context is asked before mounting only: to end a
// mount, unmount it.
func Mount(ctx context.Context, config Config) (*Server, error) {
	config, err := config.checked()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := newTree(config)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, tree: t, done: make(chan struct{}), ready: make(chan struct{})}
	s.ending, s.end = context.WithCancel(context.Background())
	if err := s.start(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	s.tuneReadAhead()
	s.tree.ahead.prepare()
	close(s.ready)
	return s, nil
}

func newTree(config Config) (*tree, error) {
	dir, err := openStoreDir(config.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	cache, err := store.NewFrameCache(config.CacheBytes)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	t := &tree{config: config, dir: dir, cache: cache, log: config.Logger}
	t.catalog = &catalog{dir: dir, engine: config.Engine, parents: newParents(dir, config)}
	t.scrub = newScrubber(&t.stats, func(ino uint64, err error) {
		t.log.Error("the kernel keeps pages that were written to", "inode", ino, "err", err)
	})
	t.ahead = newAhead(t, config)
	t.recorder = newRecorder(config, func(name string, err error) {
		t.log.Error("writing a trace failed", "file", name, "err", err)
	})
	t.cold = newColdPusher(&t.stats)
	return t, nil
}

// close releases everything. No request may be under way any more.
func (t *tree) close() error {
	t.cold.close()
	t.ahead.close()
	t.scrub.close()
	return errors.Join(t.cache.Close(), t.recorder.close(), t.dir.close())
}

// start mounts and begins to serve.
func (s *Server) start() error {
	root := &dirNode{tree: s.tree, rel: rootRel}
	s.root = root
	st, err := s.tree.dir.stat(root.rel)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	rootAttr := plainAttr(&st, root.rel)
	timeout := entryTimeout
	options := &gofs.Options{
		MountOptions:    mountOptions(s.config),
		EntryTimeout:    &timeout,
		AttrTimeout:     &timeout,
		NullPermissions: true,
		RootStableAttr:  &rootAttr,
		Logger:          debugLogger(s.config.Logger),
	}
	s.fuse, err = fuse.NewServer(gofs.NewNodeFS(root, options), s.config.MountPoint, &options.MountOptions)
	if err != nil {
		return fmt.Errorf("mounting at %s: %w", s.config.MountPoint, mountHint(err))
	}
	if s.config.Prefetch == PrefetchEager {
		s.eager.Go(s.prefetchEagerly)
	}
	go s.serve()
	if err := s.fuse.WaitMount(); err != nil {
		return errors.Join(fmt.Errorf("waiting for the mount at %s: %w", s.config.MountPoint, err), s.Unmount())
	}
	return nil
}

func mountOptions(config Config) fuse.MountOptions {
	root := os.Geteuid() == 0
	return fuse.MountOptions{
		AllowOther: config.AllowOther,
		// Modes and owners of the store are enforced by the kernel; a daemon of
		// root would otherwise open everything for everybody.
		Options:           []string{"default_permissions"},
		FsName:            fsName + ":" + config.StoreDir,
		Name:              fsName,
		MaxWrite:          maxRequestBytes,
		MaxReadAhead:      maxRequestBytes,
		MaxBackground:     maxBackground,
		DirectMountStrict: root, // anybody else goes by way of fusermount3
		// Replies are plain bytes; a pipe would only be in the way.
		DisableSplice: true,
		Logger:        debugLogger(config.Logger),
		PanicHandler:  panicHandler(config.Logger),
	}
}

// mountHint adds what most often is the reason.
func mountHint(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (mounting as root needs CAP_SYS_ADMIN)", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w (is the fuse module loaded, is there a /dev/fuse?)", err)
	case os.Geteuid() != 0:
		return fmt.Errorf("%w (by fusermount3)", err)
	default:
		return err
	}
}

// debugLogger passes go-fuse's own messages on: they are about the protocol,
// not about the store.
func debugLogger(logger *slog.Logger) *log.Logger {
	return slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
}

// panicHandler answers the request that met a bug of ours and keeps the
// other guests running.
func panicHandler(logger *slog.Logger) func(any) fuse.Status {
	return func(reason any) fuse.Status {
		logger.Error("bug: a request failed", "panic", reason, "stack", string(debug.Stack()))
		return fuse.EIO
	}
}

func (s *Server) serve() {
	s.fuse.Serve()
	s.end()
	s.eager.Wait()
	if err := s.tree.close(); err != nil {
		s.config.Logger.Error("closing the store failed", "err", err)
	}
	close(s.done)
}

func (s *Server) tuneReadAhead() {
	m, ok, err := findMount(s.config.MountPoint)
	if err != nil || !ok {
		s.config.Logger.Debug("mount is not in the table of mounts", "point", s.config.MountPoint, "err", err)
		return
	}
	setReadAhead(s.config.Logger, m, readAheadKB)
	s.tree.recorder.tuneWith(func(kib int) { setReadAhead(s.config.Logger, m, kib) })
}

// Wait returns when the mount is gone, by whomever it was unmounted.
func (s *Server) Wait() { <-s.done }

// Unmount ends the mount and waits until it is gone. It fails if files of the
// mount are in use; the mount then goes on.
func (s *Server) Unmount() error {
	select {
	case <-s.done: // somebody else was faster
		return nil
	default:
	}
	if err := s.fuse.Unmount(); err != nil && !s.detached() {
		return fmt.Errorf("unmounting %s: %w", s.config.MountPoint, err)
	}
	<-s.done
	return nil
}

// detached reports whether somebody else took the mount away. The kernel closes
// the connection a moment later, or with umount -l when the last user is gone.
func (s *Server) detached() bool {
	_, found, err := findMount(s.config.MountPoint)
	return err == nil && !found
}

// MountPoint is where the store is mounted, as an absolute path.
func (s *Server) MountPoint() string { return s.config.MountPoint }

// Prefetch is the mode of the mount.
func (s *Server) Prefetch() PrefetchMode { return s.config.Prefetch }

// Stats returns what was counted so far.
func (s *Server) Stats() Stats { return s.tree.stats.snapshot() }

// String names the mount in messages.
func (s *Server) String() string { return fsName + ":" + s.config.StoreDir }

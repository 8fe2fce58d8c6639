package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"sabrefs/fs"
	"sabrefs/iaa"
)

// mountFlags are the options of mount.
type mountFlags struct {
	foreground bool
	allowOther bool
	cacheSize  byteSize
	prefetch   string
	logFile    string
	verbose    bool
}

func newMountCommand() *cobra.Command {
	flags := mountFlags{cacheSize: fs.DefaultCacheBytes}
	cmd := &cobra.Command{
		Use:   "mount STORE MOUNTPOINT",
		Short: "Mount a store so that VMMs can map its memory files",
		Long: `Mount the directory STORE at MOUNTPOINT. Each NAME.sabre appears as NAME with
its raw size; other files appear as they are. Nothing can be written: QEMU may
open memory files for writing, as it does even for private mappings, but writes
are refused.

The command returns when the mount can be used; a daemon serves it in the
background until it is unmounted (sabrefs umount, or umount). SIGTERM makes the
daemon unmount too; while a VM uses the mount it goes on serving. Snapshots that
are packed into the store later appear by themselves.

Map memory files privately (QEMU: share=off): all VMs of a snapshot then share
the page cache. As root the mount is made directly, otherwise by fusermount3.

The prefetch modes are accepted and checked; in this version pages are decoded
on demand in all of them.`,
		Example: `  sabrefs mount /store /mnt/snapshots
  sabrefs mount --foreground --verbose --cache-size 1G /store /mnt/snapshots`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := fs.ParsePrefetchMode(flags.prefetch); err != nil {
				return usageError{err}
			}
			if !flags.foreground && !inBackground() {
				return startDaemon(cmd.Context())
			}
			return runMount(cmd.Context(), cmd.ErrOrStderr(), args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.foreground, "foreground", "f", false, "stay in the foreground; log to standard error if there is no --log-file")
	f.BoolVar(&flags.allowOther, "allow-other", false, "let other users use the mount (non-root: needs user_allow_other in /etc/fuse.conf)")
	f.Var(&flags.cacheSize, "cache-size", "memory for decoded frames; the kernel's page cache comes on top")
	f.StringVar(&flags.prefetch, "prefetch", fs.PrefetchWS.String(), "none, ws, all or eager")
	f.StringVar(&flags.logFile, "log-file", "", "append the daemon's log to this file (default: none in the background)")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log details")
	return cmd
}

// runMount mounts and serves until the mount is gone.
func runMount(ctx context.Context, stderr io.Writer, storeDir, mountPoint string, flags mountFlags) error {
	// From here on signals wait in a channel; the context tells of the first only.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	logger, closeLog, err := newLogger(stderr, flags)
	if err != nil {
		return errors.Join(err, reportReady(err))
	}
	defer closeLog()
	slog.SetDefault(logger) // what the accelerator's driver has to say
	server, err := mountStore(ctx, storeDir, mountPoint, flags, logger)
	if err != nil {
		return errors.Join(err, reportReady(err))
	}
	if err := reportReady(nil); err != nil { // who asked for the mount is gone
		return errors.Join(err, server.Unmount())
	}
	logger.Info("mounted", "store", storeDir, "mountpoint", server.MountPoint(), "version", version)
	ended := make(chan struct{})
	defer close(ended)
	go unmountOnSignals(server, logger, signals, ended)
	server.Wait()
	logger.Info("unmounted", "mountpoint", server.MountPoint())
	logEngine(logger)
	return nil
}

// logEngine says which engine decoded DEFLATE frames, if any did: to those who ask
// for details, and to everybody if a device left some to software.
func logEngine(logger *slog.Logger) {
	engine, ok := iaa.Opened()
	if !ok {
		return
	}
	stats := engine.Stats()
	level := slog.LevelDebug
	if len(stats.Fallbacks)+len(stats.QueuesLost) > 0 {
		level = slog.LevelInfo
	}
	logger.Log(context.Background(), level, "decoded DEFLATE", "engine", engine.Name(), "jobs", stats.Decompressed,
		"fallbacks", stats.Fallbacks, "queues_lost", stats.QueuesLost)
}

// daemonBytes is what the daemon may take beside the cache: request buffers,
// decoders and garbage that is not yet collected.
const daemonBytes = 48 << 20

// limitMemory makes the garbage collector work harder near the budget, instead
// of letting the heap grow to twice the cache.
func limitMemory(cacheBytes int64) { debug.SetMemoryLimit(cacheBytes + daemonBytes) }

func mountStore(ctx context.Context, storeDir, mountPoint string, flags mountFlags, logger *slog.Logger) (*fs.Server, error) {
	prefetch, err := fs.ParsePrefetchMode(flags.prefetch)
	if err != nil {
		return nil, err
	}
	limitMemory(int64(flags.cacheSize))
	return fs.Mount(ctx, fs.Config{
		StoreDir: storeDir, MountPoint: mountPoint, AllowOther: flags.allowOther,
		CacheBytes: int64(flags.cacheSize), Prefetch: prefetch, Logger: logger,
	})
}

// unmountOnSignals ends the mount as umount would. While guests use it, it
// cannot end: the daemon goes on serving them, and tries again at the next
// signal.
func unmountOnSignals(server *fs.Server, logger *slog.Logger, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-signals:
			if err := server.Unmount(); err != nil {
				logger.Error("cannot unmount on the signal; still serving", "err", err)
			}
		}
	}
}

func newLogger(stderr io.Writer, flags mountFlags) (*slog.Logger, func(), error) {
	level := slog.LevelInfo
	if flags.verbose {
		level = slog.LevelDebug
	}
	out, closeLog := stderr, func() {}
	switch {
	case flags.logFile != "":
		const ownerWrites = 0o644
		file, err := os.OpenFile(flags.logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, ownerWrites)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the log: %w", err)
		}
		if err := crashesTo(file); err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		out, closeLog = file, func() { _ = file.Close() }
	case inBackground():
		out = io.Discard
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), closeLog, nil
}

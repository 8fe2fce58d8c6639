package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"sabrefs/fs"
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
background until it is unmounted (sabrefs umount, or umount). Snapshots that are
packed into the store later appear by themselves.

Map memory files privately (QEMU: share=off): all VMs of a snapshot then share
the page cache. As root the mount is made directly, otherwise by fusermount3.

The prefetch modes are accepted and checked; in this version pages are decoded
on demand in all of them.`,
		Example: `  sabrefs mount /store /mnt/snapshots
  sabrefs mount --foreground --verbose --cache-size 1G /store /mnt/snapshots`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMount(cmd.Context(), cmd.ErrOrStderr(), args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.foreground, "foreground", "f", false, "stay in the foreground, log to standard error")
	f.BoolVar(&flags.allowOther, "allow-other", false, "let other users use the mount (non-root: needs user_allow_other in /etc/fuse.conf)")
	f.Var(&flags.cacheSize, "cache-size", "memory for decoded frames; the kernel's page cache comes on top")
	f.StringVar(&flags.prefetch, "prefetch", fs.PrefetchWS.String(), "none, ws, all or eager")
	f.StringVar(&flags.logFile, "log-file", "", "append the daemon's log to this file (default: none in the background)")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log details")
	return cmd
}

func runMount(ctx context.Context, stderr io.Writer, storeDir, mountPoint string, flags mountFlags) error {
	prefetch, err := fs.ParsePrefetchMode(flags.prefetch)
	if err != nil {
		return usageError{err}
	}
	if !flags.foreground {
		return startDaemon(ctx)
	}
	logger, closeLog, err := newLogger(stderr, flags)
	if err != nil {
		return reportReady(err)
	}
	defer closeLog()
	limitMemory(int64(flags.cacheSize))
	server, err := fs.Mount(ctx, fs.Config{
		StoreDir: storeDir, MountPoint: mountPoint, AllowOther: flags.allowOther,
		CacheBytes: int64(flags.cacheSize), Prefetch: prefetch, Logger: logger,
	})
	if err := errors.Join(err, reportReady(err)); err != nil {
		return err
	}
	logger.Info("mounted", "store", storeDir, "mountpoint", server.MountPoint(), "version", version)
	stop := context.AfterFunc(ctx, func() { unmountOnSignal(server, logger) })
	defer stop()
	server.Wait()
	logger.Info("unmounted", "mountpoint", server.MountPoint())
	return nil
}

// daemonBytes is what the daemon may take beside the cache: request buffers,
// decoders and garbage that is not yet collected.
const daemonBytes = 48 << 20

// limitMemory makes the garbage collector work harder near the budget, instead
// of letting the heap grow to twice the cache.
func limitMemory(cacheBytes int64) { debug.SetMemoryLimit(cacheBytes + daemonBytes) }

// unmountOnSignal ends the mount as umount would. While guests use it, it cannot
// end: the daemon goes on serving them, and exits when the last is gone and
// somebody unmounts.
func unmountOnSignal(server *fs.Server, logger *slog.Logger) {
	if err := server.Unmount(); err != nil {
		logger.Error("cannot unmount on the signal; still serving", "err", err)
	}
}

func newLogger(stderr io.Writer, flags mountFlags) (*slog.Logger, func(), error) {
	level := slog.LevelInfo
	if flags.verbose {
		level = slog.LevelDebug
	}
	out, closeLog := stderr, func() {}
	if flags.logFile != "" {
		const ownerWrites = 0o644
		file, err := os.OpenFile(flags.logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, ownerWrites)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the log: %w", err)
		}
		out, closeLog = file, func() { _ = file.Close() }
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), closeLog, nil
}

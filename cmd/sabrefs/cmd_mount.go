package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/fs"
	"sabrefs/iaa"
)

// mountFlags are the options of mount.
type mountFlags struct {
	foreground bool
	allowOther bool
	cacheSize  byteSize
	logFile    string
	verbose    bool
	parentDirs []string

	prefetch       string
	prefetchBudget byteSize
	workingSet     string
	record         string
	recordWindow   time.Duration
	metricsAddr    string
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

An image that was packed against a parent needs it, and says where it was when the
image was packed. Parents that are not there, or outside STORE, are looked for in the
directories given with --parent-dir and below them, by their content: a memory file
whose parent is nowhere cannot be opened, and the log says which parent it needs. A
parent that has been packed anew, with the same content, is the same parent.

A guest that resumes touches a small part of its memory: its working set. Record
it once, with --record, then lay the image out by it (sabrefs repack), or give the
trace to the mount (--working-set). From then on the pages of the working set are
decoded on all cores and put into the page cache before the guest asks for them.
--prefetch says when and what:

  ws     the working set, when a file is opened (the default)
  all    the same, and then all other pages, in the background
  eager  the working sets of all images, when the mount begins
  none   nothing: pages are decoded when a guest touches them

With --record, the mount writes DIR/NAME.ws for each memory file NAME that is
opened: every page that is touched, in first-touch order, whatever the VMM is. The
guest runs slower meanwhile. A trace is written when the file is closed, when the
window ends, and when the store is unmounted; what was there is replaced.`,
		Example: `  sabrefs mount /store /mnt/snapshots
  sabrefs mount --record /traces /store /mnt/snapshots
  sabrefs mount --working-set /traces --prefetch eager /store /mnt/snapshots
  sabrefs mount --parent-dir /base-images /store /mnt/snapshots
  sabrefs mount --foreground --verbose --metrics-addr localhost:9477 /store /mnt/snapshots`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd.Flags().Changed("prefetch")); err != nil {
				return usageError{err}
			}
			if !flags.foreground && !inBackground() {
				return mountInBackground(cmd.Context())
			}
			return runMount(cmd.Context(), cmd.ErrOrStderr(), args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.foreground, "foreground", "f", false, "stay in the foreground; log to standard error if there is no --log-file")
	f.BoolVar(&flags.allowOther, "allow-other", false, "let other users use the mount (non-root: needs user_allow_other in /etc/fuse.conf)")
	f.Var(&flags.cacheSize, "cache-size", "memory for decoded frames; the kernel's page cache comes on top")
	f.StringArrayVar(&flags.parentDirs, "parent-dir", nil, "directory in which parents of images are looked for that are not where the image says (repeatable)")
	f.StringVar(&flags.prefetch, "prefetch", fs.PrefetchWS.String(), "none, ws, all or eager")
	f.Var(&flags.prefetchBudget, "prefetch-budget", "page cache that prefetch may fill for files in use (default: half of the available memory)")
	f.Lookup("prefetch-budget").DefValue = "" // the text says it
	f.StringVar(&flags.workingSet, "working-set", "", "directory of traces: DIR/NAME.ws for the memory file NAME")
	f.StringVar(&flags.record, "record", "", "record working sets: write DIR/NAME.ws for each memory file that is opened")
	f.DurationVar(&flags.recordWindow, "record-window", defaultRecordWindow, "end a recording so long after the first open; 0 for never")
	f.StringVar(&flags.metricsAddr, "metrics-addr", "", "serve Prometheus metrics at http://ADDRESS/metrics")
	f.StringVar(&flags.logFile, "log-file", "", "append the daemon's log to this file (default: none in the background)")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log details")
	return cmd
}

// defaultRecordWindow is longer than guests take to warm up.
const defaultRecordWindow = time.Minute

// check refuses flags that do not go together. A mount that records does not
// prefetch, unless it was asked to.
func (flags *mountFlags) check(prefetchGiven bool) error {
	mode, err := fs.ParsePrefetchMode(flags.prefetch)
	switch {
	case err != nil:
		return err
	case flags.recordWindow < 0:
		return fmt.Errorf("--record-window %v: expected a time, or 0", flags.recordWindow)
	case flags.record == "":
		return nil
	case prefetchGiven && mode != fs.PrefetchNone:
		return fmt.Errorf("--record with --prefetch %v: what is pushed ahead of the guest is not seen when it is touched", mode)
	}
	flags.prefetch = fs.PrefetchNone.String()
	return nil
}

// mountInBackground has a daemon with the same command line mount and serve.
func mountInBackground(ctx context.Context) error {
	daemon, err := startDaemon(ctx, os.Args[1:], nil)
	if err != nil {
		return err
	}
	return daemon.Release()
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
	server, stopMetrics, err := mountWithMetrics(ctx, storeDir, mountPoint, flags, logger)
	if err != nil {
		return errors.Join(err, reportReady(err))
	}
	defer stopMetrics()
	lifeline := takeLifeline()
	if err := reportReady(nil); err != nil { // who asked for the mount is gone
		return errors.Join(err, server.Unmount())
	}
	logger.Info("mounted", "store", storeDir, "mountpoint", server.MountPoint(), "version", version)
	ended := make(chan struct{})
	defer close(ended)
	go unmountOnSignals(server, logger, signals, ended)
	if lifeline != nil {
		defer os.Remove(mountPoint) // made for this mount by who may have died
		go unmountAfter(lifeline, server, logger, ended)
	}
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

// mountWithMetrics mounts; if metrics are wanted it serves them too, from before the
// mount is ready, so that an address that cannot be had is an error of the command.
func mountWithMetrics(ctx context.Context, storeDir, mountPoint string, flags mountFlags, logger *slog.Logger) (*fs.Server, func(), error) {
	listener, err := listenForMetrics(ctx, flags.metricsAddr)
	if err != nil {
		return nil, nil, err
	}
	server, err := mountStore(ctx, storeDir, mountPoint, flags, logger)
	if err != nil {
		return nil, nil, errors.Join(err, listener.close())
	}
	return server, listener.serve(server, logger), nil
}

// extraProcs is how many goroutines may run Go code beyond one for each processor.
// Workers that wait in a system call, for a disk or for the kernel to take pages,
// would otherwise hold what a request that just came in needs to run.
const extraProcs = 2

// raiseProcs leaves what the operator has set.
func raiseProcs() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + extraProcs)
	}
}

func mountStore(ctx context.Context, storeDir, mountPoint string, flags mountFlags, logger *slog.Logger) (*fs.Server, error) {
	prefetch, err := fs.ParsePrefetchMode(flags.prefetch)
	if err != nil {
		return nil, err
	}
	limitMemory(int64(flags.cacheSize))
	heapOnHugePages(logger)
	raiseProcs()
	return fs.Mount(ctx, fs.Config{
		StoreDir: storeDir, ParentDirs: flags.parentDirs, MountPoint: mountPoint, AllowOther: flags.allowOther,
		CacheBytes: int64(flags.cacheSize), Logger: logger,
		Prefetch: prefetch, PrefetchBudgetBytes: int64(flags.prefetchBudget), WorkingSetDir: flags.workingSet,
		RecordDir: flags.record, RecordWindow: flags.recordWindow, LookUp: lookUpElsewhere,
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

package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// Errors of Mount about what it was given.
var (
	// ErrConfig is returned when a setting makes no sense.
	ErrConfig = errors.New("invalid mount setting")
	// ErrStore is returned when the store is not a directory.
	ErrStore = errors.New("store is not a directory")
	// ErrMountPoint is returned when the mount point is missing or is not a
	// directory.
	ErrMountPoint = errors.New("mount point is not a directory")
	// ErrMounted is returned when something is mounted at the mount point.
	ErrMounted = errors.New("mount point is in use")
	// ErrTraceDir is returned when the directory for traces cannot be used.
	ErrTraceDir = errors.New("directory of traces cannot be used")
	// ErrNested is returned when the mount point is the store or inside it:
	// the mount would show itself.
	ErrNested = errors.New("mount point is inside the store")
)

// DefaultCacheBytes is a cache of decoded frames that serves a few guests.
const DefaultCacheBytes = 256 << 20

// Config says what to mount where.
type Config struct {
	// StoreDir is the directory of packed snapshots.
	StoreDir string
	// ParentDirs are directories in which parents of images are looked for, by their
	// content, that are not where the image says, or that are outside the store.
	ParentDirs []string
	// MountPoint is an existing directory.
	MountPoint string
	// AllowOther lets users other than the one who mounts use the files, as
	// far as their modes and owners permit.
	AllowOther bool
	// CacheBytes bounds the decoded frames that are kept; 0 keeps none.
	CacheBytes int64
	// Prefetch says what is pushed into the page cache ahead of the guest.
	Prefetch PrefetchMode
	// PrefetchBudgetBytes bounds what prefetch keeps in the page cache for all files
	// that are in use together; 0 means half of the memory that is available when
	// the mount begins.
	PrefetchBudgetBytes int64
	// WorkingSetDir has traces, NAME.ws for the memory file NAME of the mount. They
	// go before what images say of themselves.
	WorkingSetDir string
	// RecordDir, if set, makes the mount record: it gets a trace NAME.ws of each
	// memory file that is opened. Such a mount does not prefetch.
	RecordDir string
	// RecordWindow ends a recording so long after the file was first opened; 0
	// records until the mount ends.
	RecordWindow time.Duration
	// LookUp makes the kernel know files of the mount, given by their paths: it
	// must do so from another process. PrefetchEager needs it.
	LookUp func(ctx context.Context, paths []string) error
	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger
	// Engine decodes DEFLATE frames; nil means in software.
	Engine iaa.Engine
}

// checked returns the configuration with defaults filled in and the paths
// absolute, the mount point's without symbolic links.
func (c Config) checked() (Config, error) {
	if c.CacheBytes < 0 {
		return c, fmt.Errorf("%w: a cache of %d bytes", ErrConfig, c.CacheBytes)
	}
	if err := c.checkPrefetch(); err != nil {
		return c, err
	}
	if c.PrefetchBudgetBytes == 0 {
		c.PrefetchBudgetBytes = availableBytes() / 2
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.StoreDir, err = filepath.Abs(c.StoreDir); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrStore, c.StoreDir, err)
	}
	if c.RecordDir, err = preparedRecordDir(c.RecordDir); err != nil {
		return c, err
	}
	if c.WorkingSetDir, err = checkedTraceDir(c.WorkingSetDir); err != nil {
		return c, err
	}
	// The mount point comes first: it may be a dead mount, which must not be
	// touched by looking at the store through it.
	if c.MountPoint, err = resolveMountPoint(c.MountPoint); err != nil {
		return c, err
	}
	if err := c.checkPaths(); err != nil {
		return c, err
	}
	c.ParentDirs, err = checkedParentDirs(c.ParentDirs, c.MountPoint)
	return c, err
}

// preparedRecordDir makes sure that there is a directory for traces, and returns its
// absolute path: a recording that cannot be written would be lost.
func preparedRecordDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	const everybodyReads = 0o755
	if err := os.MkdirAll(dir, everybodyReads); err != nil {
		return "", fmt.Errorf("%w: %w", ErrTraceDir, err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return "", fmt.Errorf("%w: writing to %s: %w", ErrTraceDir, dir, err)
	}
	return checkedTraceDir(dir)
}

// checkedTraceDir returns the absolute path of a directory with traces.
func checkedTraceDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrTraceDir, dir, err)
	}
	info, err := os.Stat(absolute)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrTraceDir, dir, err)
	}
	return absolute, nil
}

func (c Config) checkPrefetch() error {
	switch {
	case c.Prefetch < PrefetchNone || c.Prefetch > PrefetchEager:
		return fmt.Errorf("%w: %v", ErrConfig, c.Prefetch)
	case c.PrefetchBudgetBytes < 0:
		return fmt.Errorf("%w: a prefetch budget of %d bytes", ErrConfig, c.PrefetchBudgetBytes)
	case c.RecordWindow < 0:
		return fmt.Errorf("%w: a recording window of %v", ErrConfig, c.RecordWindow)
	case c.RecordDir != "" && c.Prefetch != PrefetchNone:
		return fmt.Errorf("%w: a mount that records sees what the guest touches only without prefetch, not with %v", ErrConfig, c.Prefetch)
	case c.Prefetch == PrefetchEager && c.LookUp == nil:
		return fmt.Errorf("%w: prefetch %v without a way to look files up", ErrConfig, c.Prefetch)
	}
	return nil
}

func (c Config) checkPaths() error {
	storeInfo, err := os.Stat(c.StoreDir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if !storeInfo.IsDir() {
		return fmt.Errorf("%w: %s", ErrStore, c.StoreDir)
	}
	pointInfo, err := os.Lstat(c.MountPoint)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMountPoint, err)
	}
	if !pointInfo.IsDir() {
		return fmt.Errorf("%w: %s", ErrMountPoint, c.MountPoint)
	}
	inside, err := isInside(c.MountPoint, storeInfo)
	if err == nil && inside {
		err = fmt.Errorf("%w: %s in %s", ErrNested, c.MountPoint, c.StoreDir)
	}
	return err
}

// isInside reports whether a path is a directory or something below it. It compares
// files and not names, for there are bind mounts.
func isInside(path string, dir os.FileInfo) (bool, error) {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrMountPoint, err)
		}
		if os.SameFile(info, dir) {
			return true, nil
		}
		if path == filepath.Dir(path) {
			return false, nil
		}
	}
}

package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

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
	// MountPoint is an existing directory.
	MountPoint string
	// AllowOther lets users other than the one who mounts use the files, as
	// far as their modes and owners permit.
	AllowOther bool
	// CacheBytes bounds the decoded frames that are kept; 0 keeps none.
	CacheBytes int64
	// Prefetch is validated and reported; see PrefetchMode.
	Prefetch PrefetchMode
	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger
	// Engine decodes DEFLATE frames; nil means in software.
	Engine iaa.Engine

	// pushNeighbors overrides the default of pushing; for measurements.
	pushNeighbors *bool
}

// checked returns the configuration with defaults filled in and the paths
// absolute, the mount point's without symbolic links.
func (c Config) checked() (Config, error) {
	if c.CacheBytes < 0 {
		return c, fmt.Errorf("%w: a cache of %d bytes", ErrConfig, c.CacheBytes)
	}
	if c.Prefetch < PrefetchNone || c.Prefetch > PrefetchEager {
		return c, fmt.Errorf("%w: %v", ErrConfig, c.Prefetch)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.pushNeighbors == nil {
		push := pushByDefault
		c.pushNeighbors = &push
	}
	var err error
	if c.StoreDir, err = filepath.Abs(c.StoreDir); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrStore, c.StoreDir, err)
	}
	// The mount point comes first: it may be a dead mount, which must not be
	// touched by looking at the store through it.
	if c.MountPoint, err = resolveMountPoint(c.MountPoint); err != nil {
		return c, err
	}
	return c, c.checkPaths()
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
	return checkNotNested(storeInfo, c)
}

// checkNotNested compares files and not names, for there are bind mounts.
func checkNotNested(storeInfo os.FileInfo, c Config) error {
	for dir := c.MountPoint; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMountPoint, err)
		}
		if os.SameFile(info, storeInfo) {
			return fmt.Errorf("%w: %s in %s", ErrNested, c.MountPoint, c.StoreDir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Variable names the environment variable that moves the cache.
const Variable = "SABREFS_CACHE"

// lockPollInterval is how soon a finished build is noticed by those who wait.
const lockPollInterval = 200 * time.Millisecond

// Dir is the directory of the cache for what has this name; it need not exist.
func Dir(name string) (string, error) {
	root := os.Getenv(Variable)
	if root == "" {
		userCache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory (set %s): %w", Variable, err)
		}
		root = filepath.Join(userCache, "sabrefs")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(root, name), nil
}

// Key is a short hash of the parts of a recipe.
func Key(parts ...[]byte) string {
	hash := sha256.New()
	for _, part := range parts {
		partHash := sha256.Sum256(part)
		hash.Write(partHash[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}

// Make fills the directory target, one of [Dir], by build, unless it is there.
func Make(ctx context.Context, target string, build func(dir string) error) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	lock, err := lockFile(ctx, target+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	return makeWhole(target, build)
}

// makeWhole lets build fill a directory of another name and renames it to target
// when it is complete. The caller holds the lock, so a directory of that other
// name is a dead build's.
func makeWhole(target string, build func(dir string) error) error {
	partial := target + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	err := os.Mkdir(partial, 0o755)
	if err == nil {
		err = build(partial)
	}
	if err == nil {
		err = os.Rename(partial, target)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return nil
}

// lockFile takes an exclusive lock on path, waiting for other processes that
// hold it until ctx ends. The kernel drops the lock of a process that dies.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		if err := sleep(ctx, lockPollInterval); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", path, err), file.Close())
		}
	}
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

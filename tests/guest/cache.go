package guest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sabrefs/cmd/sabrefs-bench/qemu"
)

//go:embed build.sh
var buildScript []byte

// cacheVariable names the environment variable that moves the cache.
const cacheVariable = "SABREFS_CACHE"

// lockPollInterval is how soon a finished build is noticed by those who wait.
const lockPollInterval = 200 * time.Millisecond

// Dir is the directory in which [Kind.Build] keeps what it makes for the present
// recipe. Another recipe, be it another server, kernel command line or
// accelerator, has another directory, so a stale snapshot is never used.
func (k Kind) Dir() (string, error) {
	root := os.Getenv(cacheVariable)
	if root == "" {
		userCache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory (set %s): %w", cacheVariable, err)
		}
		root = filepath.Join(userCache, "sabrefs")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(root, "guest-"+k.name+"-"+k.recipeKey()), nil
}

// recipeKey is a short hash of everything that decides what a build makes.
func (k Kind) recipeKey() string {
	hash := sha256.New()
	for _, part := range [][]byte{
		buildScript, k.program,
		fmt.Appendf(nil, "%q %q %q", k.packages, k.programName, k.command),
		fmt.Appendf(nil, "%+v %s", qemu.NewMachine(), kernelCommandLine),
		fmt.Appendf(nil, "%q %q %q", k.warmUp, k.later, k.compared),
	} {
		partHash := sha256.Sum256(part)
		hash.Write(partHash[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
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

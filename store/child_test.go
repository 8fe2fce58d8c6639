package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Tests that need a process to kill or to limit start this test binary again
// with a role. Its arguments are in the environment, for the flags belong to
// package testing.
const (
	childRoleEnv   = "SABREFS_TEST_CHILD"
	childSourceEnv = "SABREFS_TEST_SOURCE"
	childTargetEnv = "SABREFS_TEST_TARGET"
	childLimitEnv  = "SABREFS_TEST_FILE_LIMIT"

	childDescriptorsEnv = "SABREFS_TEST_DESCRIPTORS"

	rolePackFile     = "pack-file"
	rolePackNew      = "pack-new"
	rolePackSnapshot = "pack-snapshot"
	roleUnpack       = "unpack"
	roleRepack       = "repack"
	rolePackChild    = "pack-child" // of parentName beside the target
	roleFlatten      = "flatten"
	roleRebase       = "rebase" // onto source
)

// parentName is the name of the parent in the roles that need one.
const parentName = "parent.sabre"

// childCommand is a process that overwrites target with what role makes of
// source.
func childCommand(tb testing.TB, role, source, target string) *exec.Cmd {
	tb.Helper()
	self, err := os.Executable()
	wantNoError(tb, err)
	cmd := exec.CommandContext(tb.Context(), self)
	// Under the race detector every process would wait a second before it ends.
	cmd.Env = append(os.Environ(), childRoleEnv+"="+role, childSourceEnv+"="+source, childTargetEnv+"="+target,
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// runChild is the main function of a child; it returns the exit status.
func runChild(role string) int {
	err := limitResources()
	if err == nil {
		err = playRole(role, os.Getenv(childSourceEnv), os.Getenv(childTargetEnv))
	}
	if err != nil {
		fmt.Fprint(os.Stderr, err)
		return 1
	}
	return 0
}

func playRole(role, source, target string) error {
	ctx := context.Background()
	opt := PackOptions{Codec: CodecLZ4, Level: LevelFast, Overwrite: true, Workers: 2}
	switch role {
	case rolePackFile:
		_, err := PackFile(ctx, source, target, opt)
		return err
	case rolePackNew:
		opt.Overwrite = false
		_, err := PackFile(ctx, source, target, opt)
		return err
	case rolePackSnapshot:
		_, err := PackSnapshot(ctx, source, target, MemoryNames{}, opt)
		return err
	case roleRepack:
		opt.WorkingSet = []PageRun{{FirstPage: 700, PageCount: 100}, {FirstPage: 3, PageCount: 50}}
		_, err := RepackFile(ctx, target, opt)
		return err
	case rolePackChild:
		opt.Parent = filepath.Join(filepath.Dir(target), parentName)
		_, err := PackFile(ctx, source, target, opt)
		return err
	case roleFlatten:
		_, err := FlattenFile(ctx, target, opt)
		return err
	case roleRebase:
		_, err := RebaseFile(ctx, target, source, opt)
		return err
	case roleUnpack:
		_, err := UnpackFile(ctx, source, target, UnpackOptions{Overwrite: true})
		return err
	default:
		return fmt.Errorf("unknown role %q", role)
	}
}

// limitResources makes writes beyond a number of bytes fail with EFBIG, which
// is a full disk for those who cannot mount one, and opens with EMFILE.
func limitResources() error {
	signal.Ignore(unix.SIGXFSZ)
	// the runtime opens its own descriptors with the first file, and cannot do without
	first, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer first.Close()
	for env, resource := range map[string]int{childLimitEnv: unix.RLIMIT_FSIZE, childDescriptorsEnv: unix.RLIMIT_NOFILE} {
		limit := os.Getenv(env)
		if limit == "" {
			continue
		}
		n, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return err
		}
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	return nil
}

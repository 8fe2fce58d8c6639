package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
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

	rolePackFile     = "pack-file"
	rolePackSnapshot = "pack-snapshot"
	roleUnpack       = "unpack"
)

// childCommand is a process that overwrites target with what role makes of
// source.
func childCommand(t testing.TB, role, source, target string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	wantNoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRoleEnv+"="+role, childSourceEnv+"="+source, childTargetEnv+"="+target)
	return cmd
}

// runChild is the main function of a child; it returns the exit status.
func runChild(role string) int {
	err := limitFileSize()
	if err == nil {
		err = playRole(role, os.Getenv(childSourceEnv), os.Getenv(childTargetEnv))
	}
	if err != nil {
		io.WriteString(os.Stderr, err.Error())
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
	case rolePackSnapshot:
		_, err := PackSnapshot(ctx, source, target, MemoryNames{}, opt)
		return err
	case roleUnpack:
		_, err := UnpackFile(ctx, source, target, UnpackOptions{Overwrite: true})
		return err
	default:
		return fmt.Errorf("unknown role %q", role)
	}
}

// limitFileSize makes writes beyond a number of bytes fail with EFBIG, which is
// a full disk for those who cannot mount one.
func limitFileSize() error {
	limit := os.Getenv(childLimitEnv)
	if limit == "" {
		return nil
	}
	n, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return err
	}
	signal.Ignore(unix.SIGXFSZ)
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
}

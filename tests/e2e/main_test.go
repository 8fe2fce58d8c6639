package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sabrefs/tests/guest"
)

const (
	// skipVariable names the environment variable that leaves these tests out;
	// its value is the reason.
	skipVariable = "SABREFS_SKIP_E2E"
	// cleanupReserve is kept from the time limit of `go test`, which would end
	// this process before any clean-up.
	cleanupReserve = time.Minute
)

// workDir holds the binary, the stores and the mount points of one run.
var workDir string

func binaryPath() string { return filepath.Join(workDir, "sabrefs") }

func TestMain(m *testing.M) {
	if os.Getenv(skipVariable) != "" {
		os.Exit(m.Run())
	}
	status, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func runAll(m *testing.M) (status int, err error) {
	workDir, err = os.MkdirTemp("", "sabrefs-e2e")
	if err != nil {
		return 1, err
	}
	// The kernel's tables, in which leftovers are looked for, know no symbolic links.
	if workDir, err = filepath.EvalSymlinks(workDir); err != nil {
		return 1, err
	}
	if err := buildBinary(); err != nil {
		return 1, errors.Join(err, os.RemoveAll(workDir))
	}
	status = m.Run()
	left := leftovers()
	if left != nil {
		// Not removed: that would reach into what is still mounted there.
		return status, left
	}
	return status, os.RemoveAll(workDir)
}

func buildBinary() error {
	command := exec.Command("go", "build", "-o", binaryPath(), "./cmd/sabrefs")
	command.Dir = filepath.Join("..", "..")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build sabrefs: %w\n%s", err, output)
	}
	return nil
}

// leftovers is an error that names processes and mounts that the tests left.
func leftovers() error {
	var left []error
	pids, err := daemonPIDs()
	left = append(left, err)
	for _, pid := range pids {
		left = append(left, fmt.Errorf("process %d of sabrefs is left", pid))
	}
	mounts, err := mountPointsUnder(workDir)
	left = append(left, err)
	for _, mountPoint := range mounts {
		left = append(left, fmt.Errorf("mount %s is left", mountPoint))
	}
	return errors.Join(left...)
}

// requirePrivileges fails the test on a machine where it cannot do its work.
func requirePrivileges(t *testing.T) {
	t.Helper()
	if reason := os.Getenv(skipVariable); reason != "" {
		t.Skipf("%s: %s", skipVariable, reason)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("these tests mount filesystems and need root; to leave them out, set %s to the reason", skipVariable)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("these tests need FUSE: %v; to leave them out, set %s to the reason", err, skipVariable)
	}
}

// deadlineContext ends early enough before the test's own limit to clean up.
func deadlineContext(t *testing.T) context.Context {
	t.Helper()
	deadline, limited := t.Deadline()
	if !limited {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-cleanupReserve))
	t.Cleanup(cancel)
	return ctx
}

// builtGuest builds the guest once for all tests. It uses no test's context, so
// that the first test's end does not decide the others' fate.
var builtGuest = sync.OnceValues(func() (guest.Snapshot, error) {
	return guest.Build(context.Background(), os.Stderr)
})

func guestSnapshot(t *testing.T) guest.Snapshot {
	t.Helper()
	requirePrivileges(t)
	snapshot, err := builtGuest()
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// packedGuest packs the guest once for all tests into a store of one snapshot.
var packedGuest = sync.OnceValues(func() (storeDir string, err error) {
	snapshot, err := builtGuest()
	if err != nil {
		return "", err
	}
	storeDir = filepath.Join(workDir, "store")
	if err := os.Mkdir(storeDir, 0o755); err != nil {
		return "", err
	}
	_, err = runSabrefs(context.Background(), "pack", snapshot.Dir, filepath.Join(storeDir, snapshotName))
	return storeDir, err
})

// snapshotName is the guest's name in the store and hence in the mount.
const snapshotName = "python"

func packedStore(t *testing.T) (storeDir string) {
	t.Helper()
	requirePrivileges(t)
	storeDir, err := packedGuest()
	if err != nil {
		t.Fatal(err)
	}
	return storeDir
}

// runSabrefs runs the command to its end and returns its standard output.
func runSabrefs(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, binaryPath(), arguments...)
	output, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("sabrefs %s: %w", strings.Join(arguments, " "), err)
	}
	return string(output), nil
}

func mustRunSabrefs(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := runSabrefs(deadlineContext(t), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// commandEnv makes the test binary the sabrefs-bench command, for it starts
	// itself to touch files.
	commandEnv = "SABREFS_BENCH_TEST_AS_COMMAND"
	// skipEnv leaves out what needs root and FUSE; its value is the reason.
	skipEnv = "SABREFS_SKIP_FUSE"
)

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
		return
	}
	// Under the race detector every process would wait a second before it ends.
	err := errors.Join(os.Setenv(commandEnv, "1"), os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// requireMounts fails where the comparison cannot run, unless the environment
// says why that is all right.
func requireMounts(t *testing.T) {
	t.Helper()
	if reason := os.Getenv(skipEnv); reason != "" {
		t.Skipf("%s: %s", skipEnv, reason)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("this test mounts filesystems and drops caches, and needs root; set %s=<reason> to do without it", skipEnv)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("this test needs FUSE: %v; set %s=<reason> to do without it", err, skipEnv)
	}
	for _, tool := range []string{"mkfs.erofs", "mksquashfs", "fincore", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v; tests/deps.sh installs it", err)
		}
	}
}

// outcome is what a user sees of a command.
type outcome struct {
	stdout, stderr string
	code           int
}

func bench(t *testing.T, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatalf("running sabrefs-bench %v: %v", args, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// buildSabrefs builds the program that is measured.
func buildSabrefs(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sabrefs")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "../sabrefs")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building sabrefs: %v\n%s", err, out)
	}
	return path
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory has a page of zeros after each three pages of noise and text.
func memory(pages int) []byte {
	random := rand.NewChaCha8([32]byte{2})
	b := make([]byte, pages*pageBytes)
	for page := range pages {
		content := b[page*pageBytes:][:pageBytes]
		switch page % 4 {
		case 0:
			_, _ = random.Read(content) // documented never to fail
		case 1, 2:
			copy(content, strings.Repeat(fmt.Sprintf("text of page %d; ", page), 200))
		}
	}
	return b
}

func writeMemory(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mem_file")
	noError(t, os.WriteFile(path, content, 0o600))
	return path
}

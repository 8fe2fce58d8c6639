package firecracker_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// fakeVMM is the environment variable that makes this program a VMM.
const fakeVMM = "SABREFS_TEST_FAKE_VMM"

func TestMain(m *testing.M) {
	if os.Getenv(fakeVMM) != "" {
		os.Exit(serveFake(os.Args[1:]))
	}
	// The SDK gives up after half a second, which is little where machines are
	// emulated.
	err := errors.Join(
		os.Setenv("FIRECRACKER_GO_SDK_INIT_TIMEOUT_SECONDS", "60"),
		os.Setenv("FIRECRACKER_GO_SDK_REQUEST_TIMEOUT_MILLISECONDS", "60000"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// built is the binary that was built because none was given.
var built struct {
	once      sync.Once
	dir, path string
	err       error
}

// sabrefs returns the path of the binary.
func sabrefs(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SABREFS"); path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return absolute
	}
	built.once.Do(func() {
		//nolint:usetesting // it outlives the test that needs it first
		if built.dir, built.err = os.MkdirTemp("", "sabrefs"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "sabrefs")
		build := exec.Command("go", "build", "-o", built.path, "./cmd/sabrefs")
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	if built.err != nil {
		t.Fatalf("building sabrefs, which SABREFS does not name: %v", built.err)
	}
	return built.path
}

// run runs a command of sabrefs to its end.
func run(t *testing.T, args ...string) string {
	t.Helper()
	output, err := command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("sabrefs %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// command is one of sabrefs.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(sabrefs(t), args...)
}

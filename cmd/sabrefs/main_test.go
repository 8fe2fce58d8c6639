package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// commandEnv makes the test binary the sabrefs command. The daemons that it
	// starts inherit it.
	commandEnv = "SABREFS_TEST_AS_COMMAND"
	// skipEnv leaves out what needs root and FUSE; its value is the reason.
	skipEnv = "SABREFS_SKIP_FUSE"
)

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// requireFUSE fails where mounts cannot be tested, unless the environment says
// why that is all right.
func requireFUSE(t *testing.T) {
	t.Helper()
	if reason := os.Getenv(skipEnv); reason != "" {
		t.Skipf("%s: %s", skipEnv, reason)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("this test mounts filesystems and needs root; set %s=<reason> to do without it", skipEnv)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("this test needs FUSE: %v; set %s=<reason> to do without it", err, skipEnv)
	}
}

// command returns a sabrefs command that is not yet started.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Args[0] = "sabrefs"
	// Under the race detector every process would wait a second before it ends.
	cmd.Env = append(os.Environ(), commandEnv+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	// A process that has ended while somebody holds its pipes is an error.
	cmd.WaitDelay = time.Minute
	return cmd
}

// nobody is the user that owns nothing.
const nobody = 65534

// asNobody makes that user run the command.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	// with `go test -cover` every process writes what it has covered
	covered := publicTempDir(t)
	noError(t, os.Chmod(covered, 0o777))
	cmd.Env = append(cmd.Environ(), "GOCOVERDIR="+covered)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// outcome is what a user sees of a command.
type outcome struct {
	line           string
	stdout, stderr string
	code           int
}

// finish runs a command to its end, that of its pipes included.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatalf("running %v: %v\n%s", cmd.Args, err, &stderr)
	}
	return outcome{strings.Join(cmd.Args, " "), stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// sabrefs runs a command that must succeed and have nothing to complain about.
func sabrefs(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	o := finish(t, command(t, args...))
	if o.code != exitOK || o.stderr != "" {
		t.Fatalf("%s: exit code %d, standard error %q", o.line, o.code, o.stderr)
	}
	return o.stdout
}

// refused runs a command that must fail with one line that mentions all the
// words. It returns what the command printed nevertheless.
func refused(t *testing.T, code int, args []string, words ...string) (stdout string) {
	t.Helper()
	o := finish(t, command(t, args...))
	o.check(t, code, words...)
	return o.stdout
}

func (o outcome) check(t *testing.T, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("%s: exit code %d, want %d; standard error: %s", o.line, o.code, code, o.stderr)
	}
	message, isLine := strings.CutSuffix(o.stderr, "\n")
	if !isLine || strings.Contains(message, "\n") || !strings.HasPrefix(message, "sabrefs: ") {
		t.Errorf("%s: standard error is not one line that begins with the program's name: %q", o.line, o.stderr)
	}
	for _, word := range words {
		if !strings.Contains(message, word) {
			t.Errorf("%s: the message does not mention %q: %s", o.line, word, message)
		}
	}
	for _, word := range []string{"panic", "goroutine", "Usage:", "%!", "<nil>"} {
		if strings.Contains(message, word) {
			t.Errorf("%s: the message has %q: %s", o.line, word, message)
		}
	}
}

// decodeJSON decodes one value and refuses fields that it does not know.
func decodeJSON[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("decoding %q: %v", text, err)
	}
	if decoder.More() {
		t.Fatalf("more than one JSON value: %q", text)
	}
	return value
}

// realTempDir is a directory for the test, by its path without symbolic links.
func realTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	noError(t, err)
	return dir
}

// publicTempDir is a directory that every user may enter.
func publicTempDir(t *testing.T) string {
	t.Helper()
	dir := realTempDir(t)
	for _, d := range []string{filepath.Dir(dir), dir} {
		noError(t, os.Chmod(d, 0o755))
	}
	return dir
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeDir(t *testing.T, path string) string {
	t.Helper()
	noError(t, os.MkdirAll(path, 0o755))
	return path
}

func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	noError(t, os.WriteFile(path, content, 0o644))
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	noError(t, err)
	return b
}

// wantNames fails if the directory does not hold exactly these names.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	noError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// wantContent fails if a file does not hold exactly these bytes.
func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	if got := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the %d expected", path, len(got), len(want))
	}
}

// eventually waits for something that another process does; it gives up late,
// for machines that are slow.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	const limit, interval = time.Minute, 5 * time.Millisecond
	for waited := time.Duration(0); waited < limit; waited += interval {
		if happened() {
			return
		}
		time.Sleep(interval)
	}
	t.Fatalf("did not happen: %s", what)
}

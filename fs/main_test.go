package fs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The process that serves a mount must not touch it, so the test binary runs
// itself as the server, and once more for each process that maps files.
const (
	roleEnv = "SABREFS_TEST_ROLE"
	argEnv  = "SABREFS_TEST_ARG"
	skipEnv = "SABREFS_SKIP_FUSE"
)

var roles = map[string]func(arg string) error{
	"serve":       serveRole,
	"touch":       touchRole,
	"touch-pages": touchPagesRole,
	"look-up":     lookUpRole,
	"flaky":       flakyRole,
	"open-device": openDeviceRole,
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(argEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// roleCommand returns a command that plays a role.
func roleCommand(role, arg string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "sabrefs-" + role
	// Under the race detector every process would wait a second before it ends.
	cmd.Env = append(os.Environ(), roleEnv+"="+role, argEnv+"="+arg, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// mountArg is what the server's process is told.
type mountArg struct {
	StoreDir, MountPoint string
	ParentDirs           []string
	AllowOther           bool
	CacheBytes           int64
	Prefetch             PrefetchMode
	BudgetBytes          int64
	WorkingSetDir        string
	RecordDir            string
	RecordWindow         time.Duration
}

// serveRole mounts, says so, and answers commands, a line each: "stats" and
// "unmount". At the end of the input it unmounts.
func serveRole(arg string) error {
	var a mountArg
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		return err
	}
	server, err := Mount(context.Background(), Config{
		StoreDir: a.StoreDir, ParentDirs: a.ParentDirs, MountPoint: a.MountPoint, AllowOther: a.AllowOther, CacheBytes: a.CacheBytes,
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Prefetch: a.Prefetch, PrefetchBudgetBytes: a.BudgetBytes, WorkingSetDir: a.WorkingSetDir,
		RecordDir: a.RecordDir, RecordWindow: a.RecordWindow,
		LookUp: func(_ context.Context, paths []string) error {
			return roleCommand("look-up", strings.Join(paths, "\n")).Run()
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "unmount" {
			fmt.Println(server.Unmount())
			continue
		}
		stats, err := json.Marshal(server.Stats())
		if err != nil {
			return err
		}
		fmt.Println(string(stats))
	}
	return server.Unmount()
}

// lookUpRole makes the kernel know files.
func lookUpRole(arg string) error {
	var err error
	for path := range strings.SplitSeq(arg, "\n") {
		_, statErr := os.Stat(path)
		err = errors.Join(err, statErr)
	}
	return err
}

// testMount is a mount that is served by another process.
type testMount struct {
	t        *testing.T
	store    string
	point    string
	cmd      *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Scanner
	log      string // path of what it logged
	over     bool
}

// requireFUSE fails where mounts cannot be tested, unless the environment says
// why that is all right.
func requireFUSE(t *testing.T) {
	t.Helper()
	if reason := os.Getenv(skipEnv); reason != "" {
		t.Skipf("%s: %s", skipEnv, reason)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("these tests mount filesystems and need root; set %s=<reason> to do without them", skipEnv)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("these tests need FUSE: %v; set %s=<reason> to do without them", err, skipEnv)
	}
}

type mountOption func(*mountArg, *exec.Cmd)

func withCache(cacheBytes int64) mountOption {
	return func(a *mountArg, _ *exec.Cmd) { a.CacheBytes = cacheBytes }
}

// mountStore serves a store until the test ends.
func mountStore(t *testing.T, storeDir string, options ...mountOption) *testMount {
	t.Helper()
	requireFUSE(t)
	point := t.TempDir()
	arg := mountArg{StoreDir: storeDir, MountPoint: point, CacheBytes: 16 << 20}
	cmd := roleCommand("serve", "")
	for _, option := range options {
		option(&arg, cmd)
	}
	encoded, err := json.Marshal(arg)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, argEnv+"="+string(encoded))
	m := &testMount{t: t, store: storeDir, point: arg.MountPoint, cmd: cmd}
	m.start()
	return m
}

func (m *testMount) start() {
	m.t.Helper()
	logFile, err := os.Create(filepath.Join(m.t.TempDir(), "server.log"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer logFile.Close()
	m.log, m.cmd.Stderr = logFile.Name(), logFile
	if m.commands, err = m.cmd.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	answers, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.answers = bufio.NewScanner(answers)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.stop)
	if m.answer() != "mounted" {
		m.t.Fatalf("the server did not mount:\n%s", m.logged())
	}
}

// answer returns the server's next line, empty if it ended.
func (m *testMount) answer() string {
	if !m.answers.Scan() {
		return ""
	}
	return m.answers.Text()
}

func (m *testMount) stats() Stats {
	m.t.Helper()
	fmt.Fprintln(m.commands, "stats")
	var s Stats
	if err := json.Unmarshal([]byte(m.answer()), &s); err != nil {
		m.t.Fatalf("asking for counts: %v\n%s", err, m.logged())
	}
	return s
}

func (m *testMount) logged() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// stop unmounts; a mount that stays, a server that fails, or one that raced is
// a failure of the test.
func (m *testMount) stop() {
	if m.over {
		return
	}
	m.over = true
	err := m.commands.Close()
	timer := time.AfterFunc(30*time.Second, func() {
		m.t.Error("the server does not end, it is told to say where it is: ", m.cmd.Process.Signal(syscall.SIGQUIT))
		time.AfterFunc(5*time.Second, func() { _ = m.cmd.Process.Kill() })
	})
	err = errors.Join(err, m.cmd.Wait())
	timer.Stop()
	if _, left, _ := findMount(m.point); left {
		m.t.Error("the mount is still there, it is detached: ", unix.Unmount(m.point, unix.MNT_DETACH))
	}
	if err != nil {
		m.t.Errorf("the server ended: %v", err)
	}
	if log := m.logged(); err != nil || m.t.Failed() || strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		m.t.Errorf("the server's log:\n%s", log)
	}
}

// file is the path of a file in the mount.
func (m *testMount) file(name string) string { return filepath.Join(m.point, name) }

// eventually repeats check until it returns true; it gives up late, for
// machines that are slow.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

func wantErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if got, ok := errnoIn(err); !ok || got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

package firecracker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	sdk "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/operations"
	"github.com/sirupsen/logrus"

	"sabrefs/vmm/guest"
)

// The guest of all flows: a small table, in a memory that has room for it.
const (
	tableMiB  = 4
	memoryMiB = 16
)

// patience bounds whatever is waited for. It is long: machines may be emulated
// by emulated machines.
const patience = 100 * time.Second

// vmm is a program that the SDK may take for Firecracker.
type vmm struct {
	bin  string
	args []string // before those of the SDK
	env  []string
}

func fake(t *testing.T) vmm {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return vmm{bin: self, env: []string{fakeVMM + "=1"}}
}

func onKVM(t *testing.T) vmm {
	t.Helper()
	return vmm{bin: sabrefs(t), args: []string{"vm", "run"}}
}

// writeKernel writes what the guest boots to a file.
func writeKernel(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "guest.bin")
	if err := os.WriteFile(path, guest.ELF(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bootConfig is what the SDK is told to boot.
func bootConfig(t *testing.T, dir string, trackDirtyPages bool) sdk.Config {
	t.Helper()
	return sdk.Config{
		KernelImagePath: writeKernel(t, dir),
		KernelArgs:      guest.CommandLine(tableMiB),
		MachineCfg: models.MachineConfiguration{
			VcpuCount: sdk.Int64(1), MemSizeMib: sdk.Int64(memoryMiB), TrackDirtyPages: trackDirtyPages,
		},
	}
}

// vm is a machine that the SDK runs, and its console.
type vm struct {
	*sdk.Machine
	t      *testing.T
	pid    int
	socket string
	guest  *guest.Client
	sdkLog *syncBuffer
}

// start has the SDK start a machine.
func (v vmm) start(t *testing.T, config sdk.Config, opts ...sdk.Opt) *vm {
	t.Helper()
	m, err := v.tryStart(t, config, opts...)
	if err != nil {
		t.Fatalf("starting: %v\n%s", err, m.sdkLog)
	}
	if m.pid, err = m.PID(); err != nil {
		t.Fatal(err)
	}
	return m
}

func (v vmm) tryStart(t *testing.T, config sdk.Config, opts ...sdk.Opt) (*vm, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fc") //nolint:usetesting // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("something is left beside the socket: %v", err)
		}
	})
	config.SocketPath = filepath.Join(dir, "api.sock")
	ctx, cancel := context.WithCancel(context.Background())
	keys, screen, command := v.command(ctx, t, config.SocketPath)
	m := &vm{t: t, socket: config.SocketPath, sdkLog: &syncBuffer{}}
	log := logrus.New()
	log.SetOutput(m.sdkLog)
	log.SetLevel(logrus.DebugLevel)
	m.Machine, err = sdk.NewMachine(ctx, config, append(opts, sdk.WithProcessRunner(command), sdk.WithLogger(logrus.NewEntry(log)))...)
	if err != nil {
		t.Fatal(err)
	}
	m.guest = guest.NewClient(screen, keys)
	t.Cleanup(func() {
		cancel()           // kills the process if it is there
		_ = m.waitForEnd() // killed or not: the test has said what it expects
		m.guest.Close()
		if err := errors.Join(keys.Close(), screen.Close()); err != nil {
			t.Error(err)
		}
	})
	err = m.Start(ctx)
	closeErr := errors.Join(command.Stdin.(io.Closer).Close(), command.Stdout.(io.Closer).Close())
	if closeErr != nil {
		t.Error(closeErr)
	}
	return m, err
}

// command makes the command line, and pipes to its console. They are files, so
// that waiting for the process waits for nothing else.
func (v vmm) command(ctx context.Context, t *testing.T, socket string) (keys, screen *os.File, command *exec.Cmd) {
	t.Helper()
	stdin, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command = sdk.VMCommandBuilder{}.WithBin(v.bin).WithArgs(v.args).AddArgs("--id", "i-1").
		WithSocketPath(socket).WithStdin(stdin).WithStdout(stdout).WithStderr(os.Stderr).Build(ctx)
	command.Env = append(os.Environ(), v.env...)
	return keys, screen, command
}

// within is a context with patience.
func (m *vm) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	m.t.Cleanup(cancel)
	return ctx
}

// waitForEnd waits for the process, and checks that it left nothing behind.
func (m *vm) waitForEnd() error {
	m.t.Helper()
	err := m.Wait(m.within())
	if errors.Is(err, context.DeadlineExceeded) {
		m.t.Fatalf("the VMM does not end\n%s", m.sdkLog)
	}
	if _, pidErr := m.PID(); pidErr == nil {
		m.t.Error("the SDK still knows a process")
	}
	if m.pid != 0 && !errors.Is(syscall.Kill(m.pid, 0), syscall.ESRCH) {
		m.t.Errorf("process %d is left behind", m.pid)
	}
	if _, statErr := os.Lstat(m.socket); !errors.Is(statErr, fs.ErrNotExist) {
		m.t.Errorf("the socket is left behind: %v", statErr)
	}
	return err
}

// shutDown ends the guest in order.
func (m *vm) shutDown() {
	m.t.Helper()
	if err := m.Shutdown(m.within()); err != nil {
		m.t.Fatalf("%v\n%s", err, m.sdkLog)
	}
	if err := m.waitForEnd(); err != nil {
		m.t.Errorf("the VMM ended with %v", err)
	}
}

// stop ends the process, whatever the guest does. Its exit status is that of a
// process that was told to end.
func (m *vm) stop() {
	m.t.Helper()
	if err := m.StopVMM(); err != nil {
		m.t.Fatal(err)
	}
	_ = m.waitForEnd()
}

// snapshot pauses the machine and writes mem_file and snapshot_file to dir.
func (m *vm) snapshot(dir string, opts ...sdk.CreateSnapshotOpt) {
	m.t.Helper()
	if err := m.PauseVM(m.within()); err != nil {
		m.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := m.CreateSnapshot(m.within(), memFile(dir), stateFile(dir), opts...); err != nil {
		m.t.Fatal(err)
	}
}

// asDiff makes a snapshot a diff.
func asDiff(p *operations.CreateSnapshotParams) {
	p.Body.SnapshotType = models.SnapshotCreateParamsSnapshotTypeDiff
}

func memFile(dir string) string   { return filepath.Join(dir, "mem_file") }
func stateFile(dir string) string { return filepath.Join(dir, "snapshot_file") }

// resume starts a machine from a snapshot and lets it go on.
func (v vmm) resume(t *testing.T, dir string) *vm {
	t.Helper()
	m := v.start(t, sdk.Config{}, sdk.WithSnapshot(memFile(dir), stateFile(dir)))
	if err := m.ResumeVM(m.within()); err != nil {
		t.Fatal(err)
	}
	return m
}

// waitReady waits until a guest that boots has built its table.
func (m *vm) waitReady() {
	m.t.Helper()
	ready, err := m.guest.WaitReady(m.within())
	if err != nil {
		m.t.Fatal(err)
	}
	if want := (guest.Ready{Entries: guest.EntryCount(tableMiB), MiB: tableMiB, Sum: guest.Sum(tableMiB)}); ready != want {
		m.t.Fatalf("the guest says %+v, expected %+v", ready, want)
	}
}

// work has the guest answer, and write some pages. It returns what it has done
// since it was booted.
func (m *vm) work() guest.Stat {
	m.t.Helper()
	for key := uint64(1); key < guest.EntryCount(tableMiB); key += guest.EntryCount(tableMiB) / 16 {
		value, err := m.guest.Get(m.within(), key)
		if err != nil || value != guest.Value(key) {
			m.t.Fatalf("key %d has the value %#x, expected %#x: %v", key, value, guest.Value(key), err)
		}
	}
	if _, err := m.guest.Write(m.within(), 10); err != nil {
		m.t.Fatal(err)
	}
	return m.stat()
}

func (m *vm) stat() guest.Stat {
	m.t.Helper()
	stat, err := m.guest.Stat(m.within())
	if err != nil {
		m.t.Fatal(err)
	}
	return stat
}

// checkGoesOn checks that the guest is where it stopped, that its memory is
// what it was, and that it works.
func (m *vm) checkGoesOn(before guest.Stat) guest.Stat {
	m.t.Helper()
	if now := m.stat(); now != before {
		m.t.Fatalf("the guest has done %+v, it was stopped after %+v", now, before)
	}
	sum, err := m.guest.Sum(m.within())
	if want := guest.SumAfter(tableMiB, before.Written); err != nil || sum != want {
		m.t.Fatalf("the sum of the guest's memory is %#x, expected %#x: %v", sum, want, err)
	}
	return m.work()
}

// syncBuffer is a buffer that many may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

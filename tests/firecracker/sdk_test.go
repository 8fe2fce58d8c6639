package firecracker_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm/memfile"
)

// faultOf returns the message that the SDK got.
func faultOf(err error) string {
	if e, ok := errors.AsType[interface {
		error
		GetPayload() *models.Error
	}](err); ok {
		return e.GetPayload().FaultMessage
	}
	return ""
}

func TestWhatTheSDKAsks(t *testing.T) {
	m := fake(t).start(t, bootConfig(t, t.TempDir(), true))
	m.waitReady()
	for _, state := range []string{models.InstanceInfoStateRunning, models.InstanceInfoStatePaused} {
		info, err := m.DescribeInstanceInfo(m.within())
		if err != nil {
			t.Fatal(err)
		}
		if *info.State != state || *info.ID != "i-1" || *info.AppName != "sabrefs" || *info.VmmVersion != "1.0.0" {
			t.Errorf("%s: %s, %s, %s %s", state, *info.State, *info.ID, *info.AppName, *info.VmmVersion)
		}
		if err := m.PauseVM(m.within()); err != nil {
			t.Fatal(err)
		}
	}
	if version, err := m.GetFirecrackerVersion(m.within()); err != nil || version != "1.0.0" {
		t.Errorf("version %q: %v", version, err)
	}
	client := sdk.NewClient(m.socket, nil, false)
	config, err := client.GetExportVMConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Payload.MachineConfig; *c.MemSizeMib != memoryMiB || *c.VcpuCount != 1 || !c.TrackDirtyPages {
		t.Errorf("machine-config %+v", c)
	}
	if !strings.HasSuffix(*config.Payload.BootSource.KernelImagePath, "guest.bin") {
		t.Errorf("kernel %s", *config.Payload.BootSource.KernelImagePath)
	}
	m.shutDown()
}

// Log and metrics go to pipes that the SDK makes, and the log to a writer.
func TestPipesOfTheSDK(t *testing.T) {
	dir := t.TempDir()
	config := bootConfig(t, dir, false)
	log := &syncBuffer{}
	config.LogFifo, config.MetricsFifo = filepath.Join(dir, "log"), filepath.Join(dir, "metrics")
	config.FifoLogWriter, config.LogLevel = log, "Debug"
	m := fake(t).start(t, config)
	m.waitReady()
	metrics, err := os.OpenFile(config.MetricsFifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Close()
	m.shutDown() // which is the second action, and writes a line of metrics
	line := make([]byte, 64<<10)
	n, err := metrics.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), `"boot_source_count":1`) {
		t.Errorf("metrics %s: %v", line[:n], err)
	}
	for deadline := time.Now().Add(patience); strings.Count(log.String(), "path=/actions") < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log holds %s", log)
		}
	}
	if !strings.Contains(log.String(), "[i-1:INFO] Running sabrefs as Firecracker v1.0.0") {
		t.Errorf("the log holds %s", log)
	}
	for _, path := range []string{config.LogFifo, config.MetricsFifo} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

func TestDrives(t *testing.T) {
	dir := t.TempDir()
	disk, other := filepath.Join(dir, "disk"), filepath.Join(dir, "other")
	for _, path := range []string{disk, other} {
		if err := os.WriteFile(path, make([]byte, 512), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := bootConfig(t, dir, false)
	config.Drives = sdk.NewDrivesBuilder(disk).AddDrive(other, true, sdk.WithCacheType("Writeback")).Build()
	m := fake(t).start(t, config)
	if err := m.UpdateGuestDrive(m.within(), "0", disk); err != nil {
		t.Error(err)
	}
	if err := m.UpdateGuestDrive(m.within(), "9", disk); faultOf(err) != "Error during drive update (patch): there is no drive 9" {
		t.Errorf("a drive that there is not: %v", err)
	}
	m.shutDown()
}

// The SDK is told what this machine has not, by a start that fails.
func TestMissingDevices(t *testing.T) {
	config := bootConfig(t, t.TempDir(), false)
	config.VsockDevices = []sdk.VsockDevice{{ID: "v", Path: "v.sock", CID: 3}}
	m, err := fake(t).tryStart(t, config)
	if got := faultOf(err); got != "The requested operation is not supported: vsock devices." {
		t.Errorf("a vsock device: %v", err)
	}
	m.stop()
	config = bootConfig(t, t.TempDir(), false)
	config.Drives = sdk.NewDrivesBuilder(config.KernelImagePath).
		AddDrive(config.KernelImagePath, true, sdk.WithIoEngine("Async")).Build()
	m, err = fake(t).tryStart(t, config)
	if got := faultOf(err); got != "The requested operation is not supported: the io_engine Async; only Sync is." {
		t.Errorf("asynchronous I/O: %v", err)
	}
	m.stop()
}

// A snapshot that cannot be loaded is the end of the process: the SDK does not
// end it.
func TestDamagedSnapshot(t *testing.T)    { damagedSnapshot(t, fake(t)) }
func TestKVMDamagedSnapshot(t *testing.T) { kvmtest.Need(t); damagedSnapshot(t, onKVM(t)) }

func damagedSnapshot(t *testing.T, v vmm) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "guest")
	takeSnapshot(t, v, dir, false)
	state, err := os.ReadFile(stateFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stateFile(dir), state[:len(state)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := v.tryStart(t, sdk.Config{}, sdk.WithSnapshot(memFile(dir), stateFile(dir)))
	if err == nil || !strings.Contains(m.sdkLog.String()+err.Error(), "Load microVM snapshot error: ") {
		t.Errorf("starting from a damaged snapshot: %v", err)
	}
	if err := m.waitForEnd(); err == nil {
		t.Error("the process ended as if nothing had been wrong")
	}
}

// What Firecracker is called, and all arguments that the SDK gives it when it
// is told nothing.
func TestUnderTheNameOfFirecracker(t *testing.T) {
	t.Setenv(fakeVMM, "1")
	underTheNameOfFirecracker(t, fake(t))
}

func TestKVMUnderTheNameOfFirecracker(t *testing.T) {
	kvmtest.Need(t)
	underTheNameOfFirecracker(t, onKVM(t))
}

func underTheNameOfFirecracker(t *testing.T, v vmm) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(v.bin, filepath.Join(bin, "firecracker")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	config := bootConfig(t, t.TempDir(), false)
	config.SocketPath = filepath.Join(bin, "s")
	machine, err := sdk.NewMachine(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &vm{Machine: machine, t: t, socket: config.SocketPath, sdkLog: &syncBuffer{}}
	if m.pid, err = m.PID(); err != nil {
		t.Fatal(err)
	}
	info, err := m.DescribeInstanceInfo(m.within())
	if err != nil || *info.State != models.InstanceInfoStateRunning || *info.ID != machine.Cfg.VMID {
		t.Errorf("%v of %s: %v", info.State, *info.ID, err)
	}
	m.stop()
}

// A second process on the same socket ends, and the first does not notice.
func TestTwoOnOneSocket(t *testing.T)    { twoOnOneSocket(t, fake(t)) }
func TestKVMTwoOnOneSocket(t *testing.T) { kvmtest.Need(t); twoOnOneSocket(t, onKVM(t)) }

func twoOnOneSocket(t *testing.T, v vmm) {
	t.Helper()
	m := v.start(t, bootConfig(t, t.TempDir(), false))
	m.waitReady()
	second := exec.Command(v.bin, append(append([]string{}, v.args...), "--api-sock", m.socket)...)
	second.Env = append(os.Environ(), v.env...)
	output, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "socket is in use") {
		t.Errorf("the second: %v, %s", err, output)
	}
	m.work()
	m.shutDown()
}

// A guest that ends by itself takes the process along.
func TestKVMGuestsThatEnd(t *testing.T) {
	kvmtest.Need(t)
	for name, test := range map[string]struct {
		command func(*vm) error
		orderly bool
	}{
		"quit":  {func(m *vm) error { return m.guest.Quit(m.within()) }, true},
		"crash": {func(m *vm) error { return m.guest.Crash(m.within()) }, false},
		"poke":  {func(m *vm) error { return m.guest.Poke(m.within()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := onKVM(t).start(t, bootConfig(t, t.TempDir(), false))
			m.waitReady()
			if err := test.command(m); err != nil {
				t.Fatal(err)
			}
			if err := m.waitForEnd(); (err == nil) != test.orderly {
				t.Errorf("the process ended with %v", err)
			}
		})
	}
}

// A guest that spins with interrupts off is paused, snapshotted and stopped
// like any other.
func TestKVMGuestThatSpins(t *testing.T) {
	kvmtest.Need(t)
	m := onKVM(t).start(t, bootConfig(t, t.TempDir(), false))
	m.waitReady()
	if err := m.guest.Spin(m.within()); err != nil {
		t.Fatal(err)
	}
	m.snapshot(filepath.Join(t.TempDir(), "guest"))
	if err := m.ResumeVM(m.within()); err != nil {
		t.Fatal(err)
	}
	m.stop()
}

// Diffs of a restored machine hold what was written since, and are refused
// until they are merged with what it was restored from.
func TestKVMDiffOfARestoredMachine(t *testing.T) {
	kvmtest.Need(t)
	v, root := onKVM(t), t.TempDir()
	base, diff := filepath.Join(root, "base"), filepath.Join(root, "diff")
	before := takeSnapshot(t, v, base, true)
	m := v.start(t, sdk.Config{}, sdk.WithSnapshot(memFile(base), stateFile(base), func(c *sdk.SnapshotConfig) {
		c.EnableDiffSnapshots, c.ResumeVM = true, true
	}))
	after := m.checkGoesOn(before)
	m.snapshot(diff, asDiff)
	m.stop()
	refused, err := v.tryStart(t, sdk.Config{}, sdk.WithSnapshot(memFile(diff), stateFile(diff)))
	if err == nil {
		t.Error("a diff that was not merged is run")
	}
	if err := refused.waitForEnd(); err == nil {
		t.Error("the process ended as if nothing had been wrong")
	}
	merged := filepath.Join(root, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := memfile.Merge(t.Context(), memFile(base), memFile(diff), memFile(merged)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(stateFile(diff), stateFile(merged)); err != nil {
		t.Fatal(err)
	}
	checkResume(t, v, merged, after)
}

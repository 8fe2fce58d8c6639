//go:build linux && amd64

package vmm

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sabrefs/tests/kvmtest"
)

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got error %v, want %v", err, class)
	}
}

const mib = 1 << 20

func flatConfig(image []byte, out *console) Config {
	return Config{MemoryBytes: 8 * mib, VCPUCount: 1, Flat: image, Console: out}
}

// newMachineOf makes a machine that is closed when the test ends.
func newMachineOf(t *testing.T, cfg Config) *Machine {
	t.Helper()
	kvmtest.Need(t)
	m, err := New(t.Context(), cfg)
	mustNot(t, err)
	t.Cleanup(func() { mustNot(t, m.Close()) })
	return m
}

func start(t *testing.T, cfg Config) *Machine {
	t.Helper()
	m := newMachineOf(t, cfg)
	mustNot(t, m.Start())
	return m
}

// ended waits for the end of a guest and returns why it ended.
func ended(t *testing.T, m *Machine) error {
	t.Helper()
	select {
	case <-m.Done():
		return m.Err()
	case <-time.After(patience):
		t.Fatalf("the guest did not end; it is %v", m.State())
		return nil
	}
}

func TestKVMGuestSpeaksAndEnds(t *testing.T) {
	for name, end := range map[string][]byte{"reset": reset, "power off": turnOff} {
		t.Run(name, func(t *testing.T) {
			out := newConsole()
			m := newMachineOf(t, flatConfig(code(say("hello"), end, halt), out))
			if m.State() != NotStarted {
				t.Fatalf("a new machine is %v", m.State())
			}
			mustNot(t, m.Start())
			mustNot(t, ended(t, m))
			if out.String() != "hello" {
				t.Errorf("the guest said %q", out)
			}
			if m.State() != Ended {
				t.Errorf("the machine is %v", m.State())
			}
			timings := m.Timings()
			if !(timings.Map > 0 && timings.Map <= timings.Open && timings.Open < timings.State &&
				timings.State < timings.FirstInstruction && timings.FirstInstruction < timings.FirstOutput) {
				t.Errorf("got %+v", timings)
			}
			if timings.KVM <= 0 || timings.KVM > timings.State {
				t.Errorf("making the machine took %v of %v", timings.KVM, timings.State)
			}
		})
	}
}

func TestKVMGuestFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		image []byte
		class error
		text  string
	}{
		{"triple fault", crash, ErrTripleFault, "vCPU 0"},
		{"runs where nothing is", stray, ErrInternal, "(instruction at 0xe0000000)"},
		{"writes where nothing is", poke, ErrUnmapped, "1 bytes at 0xe0000000 (instruction at 0x1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := newConsole()
			m := start(t, flatConfig(code(say("x"), c.image, halt), out))
			_ = out.wait(t, 0, "x")
			err := ended(t, m)
			wantError(t, err, c.class)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("the error is %q", err)
			}
			wantError(t, m.Pause(), ErrState)
			wantError(t, m.Resume(), ErrState)
			wantError(t, m.SendCtrlAltDel(), ErrState)
		})
	}
}

func TestKVMReadOfNothingIsOnes(t *testing.T) {
	out, logged := newConsole(), &syncBuffer{}
	cfg := flatConfig(code(peek, peek, reset, halt), out)
	cfg.Logger = slog.New(slog.NewTextHandler(logged, nil))
	mustNot(t, ended(t, start(t, cfg)))
	if out.String() != "\xff\xff" {
		t.Errorf("the guest read %q", out)
	}
	if n := strings.Count(logged.String(), "guest reads where nothing is"); n != 1 {
		t.Errorf("two reads of one page are logged %d times: %s", n, logged)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestKVMPauseAnything pauses guests that do not help with it.
func TestKVMPauseAnything(t *testing.T) {
	for name, image := range map[string][]byte{"spinning": spin, "halted": halt} {
		t.Run(name, func(t *testing.T) {
			out := newConsole()
			m := start(t, flatConfig(code(say("x"), image), out))
			_ = out.wait(t, 0, "x")
			for range 3 {
				mustNot(t, m.Pause())
				mustNot(t, m.Pause())
				if m.State() != Paused {
					t.Fatalf("the machine is %v", m.State())
				}
				mustNot(t, m.Resume())
				mustNot(t, m.Resume())
			}
			wantError(t, m.Start(), ErrState)
			mustNot(t, m.Close())
			wantError(t, m.Err(), ErrStopped)
			wantError(t, m.Resume(), ErrState)
			wantError(t, m.Start(), ErrState)
			if _, err := m.Input().Write([]byte("x")); err == nil {
				t.Error("a closed machine took input")
			}
		})
	}
}

func TestKVMCallsInTheWrongState(t *testing.T) {
	m := newMachineOf(t, flatConfig(halt, nil))
	wantError(t, m.Pause(), ErrState)
	wantError(t, m.Resume(), ErrState)
	wantError(t, m.SendCtrlAltDel(), ErrState)
	_, err := m.Snapshot(t.Context(), SnapshotRequest{StatePath: "a", MemoryPath: "b"})
	wantError(t, err, ErrState)
	if m.Err() != nil {
		t.Errorf("a machine that did not end ended by %v", m.Err())
	}
}

func TestKVMInput(t *testing.T) {
	out := newConsole()
	m := start(t, flatConfig(echo, out))
	typeAndCheck(t, m, out, out.wait(t, 0, "R"), 1, "hello")
}

// typeAndCheck types to an echo guest that answered n-1 bytes before, and
// returns how much it has said with that.
func typeAndCheck(t *testing.T, m *Machine, out *console, from, n int, keys string) int {
	t.Helper()
	var want []byte
	for i := range len(keys) {
		want = append(want, echoed(keys[i], n+i))
	}
	_, err := m.Input().Write([]byte(keys))
	mustNot(t, err)
	return out.wait(t, from, string(want))
}

func TestKVMSeveralVCPUs(t *testing.T) {
	out := newConsole()
	cfg := flatConfig(wakeAll(3), out)
	cfg.VCPUCount = 4
	mustNot(t, ended(t, start(t, cfg)))
	if out.String() != "3" {
		t.Errorf("the guest said %q", out)
	}
}

// TestKVMVCPUsThatWereNeverStarted are paused and ended as well.
func TestKVMVCPUsThatWereNeverStarted(t *testing.T) {
	cfg := flatConfig(spin, nil)
	cfg.VCPUCount = 3
	m := start(t, cfg)
	mustNot(t, m.Pause())
	mustNot(t, m.Resume())
	mustNot(t, m.Close())
}

func TestInvalidConfigs(t *testing.T) {
	valid := func() Config { return Config{MemoryBytes: 8 * mib, VCPUCount: 1, Flat: halt} }
	dir := t.TempDir()
	for name, change := range map[string]func(*Config){
		"no memory":           func(c *Config) { c.MemoryBytes = 0 },
		"negative memory":     func(c *Config) { c.MemoryBytes = -4096 },
		"half a page":         func(c *Config) { c.MemoryBytes += 2048 },
		"too much memory":     func(c *Config) { c.MemoryBytes = MaxMemoryBytes + 4096 },
		"no vCPU":             func(c *Config) { c.VCPUCount = 0 },
		"too many vCPUs":      func(c *Config) { c.VCPUCount = MaxVCPUs + 1 },
		"nothing to boot":     func(c *Config) { c.Flat = nil },
		"two things to boot":  func(c *Config) { c.Kernel = "vmlinux" },
		"drive without an ID": func(c *Config) { c.Drives = []Drive{{Path: dir}} },
		"drive without a path": func(c *Config) {
			c.Drives = []Drive{{ID: "a"}}
		},
		"long ID": func(c *Config) {
			c.Drives = []Drive{{ID: strings.Repeat("a", maxNameBytes+1), Path: dir}}
		},
		"an ID twice": func(c *Config) {
			c.Drives = []Drive{{ID: "a", Path: dir}, {ID: "a", Path: dir}}
		},
		"two roots": func(c *Config) {
			c.Drives = []Drive{{ID: "a", Path: dir, Root: true}, {ID: "b", Path: dir, Root: true}}
		},
		"too many drives": func(c *Config) {
			c.Drives = make([]Drive, MaxDrives+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			change(&cfg)
			_, err := New(t.Context(), cfg)
			wantError(t, err, ErrConfig)
		})
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	text := filepath.Join(dir, "text")
	mustNot(t, os.WriteFile(text, []byte("no kernel"), 0o600))
	for _, c := range []struct {
		name  string
		cfg   Config
		class error
	}{
		{"kernel", Config{Kernel: none}, os.ErrNotExist},
		{"a text as kernel", Config{Kernel: text}, ErrNotKernel},
		{"initrd", Config{Flat: halt, Initrd: none}, os.ErrNotExist},
		{"drive", Config{Flat: halt, Drives: []Drive{{ID: "a", Path: none}}}, os.ErrNotExist},
		{"small memory", Config{Flat: halt, MemoryBytes: 4096}, ErrDoesNotFit},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.VCPUCount = 1
			if c.cfg.MemoryBytes == 0 {
				c.cfg.MemoryBytes = 64 * mib
			}
			_, err := New(t.Context(), c.cfg)
			wantError(t, err, c.class)
		})
	}
}

// TestNoKVM boots where there is no KVM, or where there is.
func TestNoKVM(t *testing.T) {
	m, err := New(t.Context(), flatConfig(halt, nil))
	if _, statErr := os.Stat("/dev/kvm"); statErr != nil {
		wantError(t, err, ErrNoKVM)
		return
	}
	mustNot(t, err)
	mustNot(t, m.Close())
}

func TestDrivesAreOnTheCommandLine(t *testing.T) {
	drives := rootFirst([]Drive{{ID: "data"}, {ID: "root", Root: true, ReadOnly: true}})
	const want = "console=ttyS0 root=/dev/vda ro virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6"
	if got := commandLine("console=ttyS0", drives); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := commandLine("", nil); got != "" {
		t.Errorf("got %q without drives", got)
	}
}

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sabrefs/tests/lab/linuxguest"
)

// testMiB is what guests hold in tests.
const testMiB = 16

// qemuCommandLine tells the TSC's rate, whatever it is: with reduced ACPI the
// kernel has nothing else to measure time by, and on a busy machine the emulator
// is too slow for its measuring.
var qemuCommandLine = fmt.Sprint("console=ttyS0 quiet panic=-1 reboot=t rootfstype=ramfs tsc_early_khz=2000000 ",
	linuxguest.MemoryOption, testMiB)

// The guest works in QEMU, whose virtio-mmio machine is nearest to our launcher:
// what fails there later is not the guest's fault.
func TestGuestInQEMU(t *testing.T) {
	workshop := newWorkshop(t)
	if err := workshop.buildGuest(t.Context()); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	writeDisk(t, disk, "sector zero")
	c := startQEMU(t,
		"-M", "microvm,acpi=on", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "256M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", workshop.Downloads.GuestKernelPath(), "-initrd", filepath.Join(workshop.filesDir(), GuestInitrdFile),
		"-append", qemuCommandLine,
		"-drive", "id=disk,if=none,format=raw,file="+optionValue(disk), "-device", "virtio-blk-device,drive=disk")
	c.awaitReady(t, 2)
	c.expectHealth(t, testMiB, 0, 2)
	c.expect(t, "count", "count 1")
	c.expect(t, "count", "count 2")
	c.expect(t, "change 7", "changed 7")
	c.expectHealth(t, testMiB, 7, 2)
	c.awaitTick(t)
	c.expect(t, "disk", fmt.Sprint("disk ", diskBytes))
	c.expect(t, "read 0", "read 0: sector zero")
	c.expect(t, "write 9 from the guest", "wrote 9")
	c.expect(t, "read 9", "read 9: from the guest")
	if reply := c.ask(t, "change 1000000"); !strings.HasPrefix(reply, linuxguest.Failure) {
		t.Errorf("reply %q to a change of more pages than there are", reply)
	}
	c.expect(t, "off", "off")
	if err := c.wait(); err != nil {
		t.Errorf("QEMU: %v", err)
	}
	expectSector(t, disk, 9, "from the guest")
}

func newWorkshop(t *testing.T) Workshop {
	t.Helper()
	root, err := TreeRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	downloads, err := Download(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	workshop, err := OpenWorkshop(root, downloads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := workshop.Close(); err != nil {
			t.Error(err)
		}
	})
	return workshop
}

// startQEMU starts QEMU with the guest's console on its standard streams. It ends
// with the test.
func startQEMU(t *testing.T, arguments ...string) *monitor {
	t.Helper()
	command := exec.CommandContext(context.Background(), qemuProgram, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return startMonitor(t, command)
}

// monitor is a virtual machine monitor, any, with its guest's console.
type monitor struct {
	*conversation
	command *exec.Cmd
	ended   chan struct{}
	end     error // of the process, once ended is closed
}

// quitTimeout is how long a program may take to say where it is.
const quitTimeout = 10 * time.Second

// startMonitor starts a command that has its guest's console on its standard
// streams. It is killed at the end of the test if it still runs.
func startMonitor(t *testing.T, command *exec.Cmd) *monitor {
	t.Helper()
	keys, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe, which Wait would close before all is read.
	output, outputWriter := io.Pipe()
	var problems bytes.Buffer
	command.Stdout, command.Stderr = outputWriter, &problems
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	m := &monitor{command: command, ended: make(chan struct{})}
	go func() {
		m.end = command.Wait()
		_ = outputWriter.Close() // never fails
		close(m.ended)
	}()
	t.Cleanup(func() {
		if t.Failed() { // a program in Go says where it is
			_ = command.Process.Signal(syscall.SIGQUIT)
			time.AfterFunc(quitTimeout, func() { _ = command.Process.Kill() })
		} else {
			_ = command.Process.Kill() // it may have ended
		}
		if err := m.wait(); t.Failed() {
			t.Logf("%s: %v, standard error: %s", command.Args[0], err, &problems)
		}
	})
	m.conversation = converse(t, keys, output)
	return m
}

// wait waits for the end of the process.
func (m *monitor) wait() error {
	<-m.ended
	return m.end
}

// diskBytes is the size of a test's disk.
const diskBytes = 1 << 20

func writeDisk(t *testing.T, path, text string) {
	t.Helper()
	data := make([]byte, diskBytes)
	copy(data, text)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// expectSector compares the text that a sector begins with.
func expectSector(t *testing.T, path string, sector int, want string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start := sector * linuxguest.SectorBytes
	text, _, _ := bytes.Cut(data[start:start+linuxguest.SectorBytes], []byte{0})
	if string(text) != want {
		t.Errorf("sector %d holds %q, want %q", sector, text, want)
	}
}

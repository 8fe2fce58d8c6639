package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/lab/early"
)

// qemuProgram emulates the laboratory.
const qemuProgram = "qemu-system-x86_64"

// kernelCommandLine: a ramfs has no size limit below that of the RAM. A panic
// ends QEMU (-no-reboot) and so the run. The emulated TSC is steady, which the
// kernel would doubt when the host is busy.
const kernelCommandLine = "console=ttyS0 quiet panic=-1 rootfstype=ramfs tsc=reliable random.trust_cpu=on"

// Machine is the laboratory as hardware.
type Machine struct {
	KernelPath, InitramfsPath string
	Mounts                    []early.Mount // shares, served by QEMU
	MemoryMiB                 int
	// Console gets what the machine says, Keys (or nil) are typed there.
	Console io.Writer
	Keys    io.Reader
	// StallAfter is how long the machine may say nothing; 0 for ever.
	StallAfter time.Duration
	// MonitorPath is where QEMU's monitor gets its socket.
	MonitorPath string
}

// share is a directory of the host at the same path inside.
func share(tag, path string, readOnly bool) early.Mount {
	m := early.Mount{
		Source: tag, Target: path, Type: "9p",
		Options: "trans=virtio,version=9p2000.L,msize=512000",
	}
	if readOnly {
		// What cannot change may be kept: binaries are mapped page by page.
		m.Flags, m.Options = unix.MS_RDONLY, m.Options+",cache=loose"
	}
	return m
}

// ErrStalled is returned for a machine that has said nothing for a long time. The
// emulator has its races; see heldMachine of cmd/labinit for one.
var ErrStalled = errors.New("the laboratory has stalled")

// Run runs the machine until it turns itself off, ctx ends or the machine stalls.
//
// QEMU ends with the thread that started it, so that a killed caller leaves no
// emulator behind. The calling goroutine must be locked to its thread for that.
func (m Machine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	console := &watchedWriter{out: m.Console, timer: m.stallTimer(stop), limit: m.StallAfter}
	defer console.timer.Stop()
	command := exec.CommandContext(ctx, qemuProgram, m.arguments()...)
	command.Stdin, command.Stdout = m.Keys, console
	var problems strings.Builder
	command.Stderr = &problems
	command.Cancel = func() error {
		if cause := context.Cause(ctx); errors.Is(cause, ErrStalled) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			fmt.Fprintln(m.Console, m.autopsy())
		}
		return command.Process.Kill()
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := command.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the laboratory was stopped: %w", context.Cause(ctx))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", qemuProgram, err), errors.New(problems.String()))
	}
	return nil
}

// stallTimer stops the machine when it has been silent for too long.
func (m Machine) stallTimer(stop context.CancelCauseFunc) *time.Timer {
	limit := m.StallAfter
	if limit == 0 {
		limit = math.MaxInt64
	}
	return time.AfterFunc(limit, func() { stop(fmt.Errorf("%w: no word for %v", ErrStalled, limit)) })
}

// watchedWriter starts the timer anew with everything that is written.
type watchedWriter struct {
	out   io.Writer
	timer *time.Timer
	limit time.Duration
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.limit > 0 {
		w.timer.Reset(w.limit)
	}
	return w.out.Write(p)
}

// autopsyTimeout: a monitor that does not answer is no reason to wait.
const autopsyTimeout = 5 * time.Second

// autopsy says where the processors of a machine are that took too long, for a
// hang of the emulator or of the kernel leaves nothing else.
func (m Machine) autopsy() string {
	ctx, cancel := context.WithTimeout(context.Background(), autopsyTimeout)
	defer cancel()
	text, err := askMonitor(ctx, m.MonitorPath, "info registers -a")
	if err != nil {
		return fmt.Sprintf("lab: no word from QEMU's monitor: %v", err)
	}
	return "lab: the processors when time was up:\n" + text
}

func askMonitor(ctx context.Context, path, question string) (answer string, err error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return "", err
	}
	monitor, err := qemu.NewMonitor(ctx, connection)
	if err != nil {
		return "", err
	}
	defer monitor.Close()
	quoted, err := monitor.Execute(ctx, "human-monitor-command", map[string]string{"command-line": question})
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(quoted, &answer)
	return answer, err
}

func (m Machine) arguments() []string {
	arguments := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,+svm", "-smp", "2",
		"-m", strconv.Itoa(m.MemoryMiB) + "M",
		"-kernel", m.KernelPath, "-initrd", m.InitramfsPath, "-append", kernelCommandLine,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-device", "virtio-rng-pci",
		"-qmp", "unix:" + optionValue(m.MonitorPath) + ",server=on,wait=off",
	}
	for _, mount := range m.Mounts {
		option := fmt.Sprintf("local,path=%s,mount_tag=%s,security_model=none,multidevs=remap",
			optionValue(mount.Target), mount.Source)
		if mount.Flags&unix.MS_RDONLY != 0 {
			option += ",readonly=on"
		}
		arguments = append(arguments, "-virtfs", option)
	}
	return arguments
}

// optionValue protects a path in a QEMU option: there a comma ends a value.
func optionValue(path string) string { return strings.ReplaceAll(path, ",", ",,") }

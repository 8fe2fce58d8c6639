package qemu

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// exitDelay is how long the end of QEMU's error output is waited for after the
// end of QEMU itself.
const exitDelay = 5 * time.Second

// VM is a running QEMU. It is used by one goroutine at a time.
type VM struct {
	// Timings is complete after the first successful Ask.
	Timings Timings

	command *exec.Cmd
	// exited is closed once the process has been waited for; only then may
	// errorOutput be read.
	exited      chan struct{}
	errorOutput bytes.Buffer

	monitor      *Monitor
	serial       net.Conn
	serialReader *bufio.Reader
	// continuedAt is when the guest was last let run.
	continuedAt time.Time
}

// Timings are the phases of a restore.
type Timings struct {
	// QEMUStart is from the start of the process until it takes commands; the
	// memory file is mapped by then, but hardly touched.
	QEMUStart time.Duration
	// Incoming is the loading of the device state.
	Incoming time.Duration
	// FirstAnswer is from letting the guest run to its first answer, hence
	// mostly page faults on the memory file.
	FirstAnswer time.Duration
}

// start runs QEMU with the guest halted. The process ends with ctx, with Close,
// and with this process, whichever comes first.
func start(ctx context.Context, arguments []string) (*VM, error) {
	serial, serialFile, err := socketPair("serial port")
	if err != nil {
		return nil, err
	}
	monitorConn, monitorFile, err := socketPair("monitor")
	if err != nil {
		return nil, errors.Join(err, serial.Close(), serialFile.Close())
	}
	vm := &VM{serial: serial, serialReader: bufio.NewReader(serial), exited: make(chan struct{})}
	startedAt := time.Now()
	err = vm.run(ctx, arguments, serialFile, monitorFile)
	if err != nil {
		return nil, errors.Join(err, serial.Close(), monitorConn.Close())
	}
	vm.monitor, err = NewMonitor(ctx, monitorConn)
	if err != nil {
		return nil, vm.abandon(err)
	}
	vm.Timings.QEMUStart = time.Since(startedAt)
	return vm, nil
}

// run starts the process, which inherits the two files and alone keeps them.
func (vm *VM) run(ctx context.Context, arguments []string, serial, monitor *os.File) error {
	vm.command = exec.CommandContext(ctx, qemuProgram, arguments...)
	vm.command.Stderr = &vm.errorOutput
	vm.command.ExtraFiles = []*os.File{serial, monitor}
	// A test binary killed by its own time limit must not leave guests behind.
	// The signal follows the thread that starts QEMU; Go ends a thread before
	// the process only if a goroutine locked to it ends.
	vm.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// A helper that QEMU started may hold on to its standard error.
	vm.command.WaitDelay = exitDelay
	err := vm.command.Start()
	// The process has its own copies; ours would hide its end from the peers.
	_, _ = serial.Close(), monitor.Close()
	if err != nil {
		return fmt.Errorf("start QEMU: %w", err)
	}
	go func() {
		defer close(vm.exited)
		// How QEMU ended is known by then: it was killed, or a conversation
		// with it has failed and reports its error output.
		_ = vm.command.Wait()
	}()
	return nil
}

// socketPair makes a connection without a name in any filesystem, so that there
// is no path to shorten and none to clean up.
func socketPair(name string) (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket for the %s: %w", name, err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	conn, err := net.FileConn(ours) // A duplicate of ours.
	if err := errors.Join(err, ours.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("use a socket for the %s: %w", name, err), theirs.Close())
	}
	return conn, theirs, nil
}

// PID is QEMU's process ID.
func (vm *VM) PID() int { return vm.command.Process.Pid }

// Close ends the process and waits for it. Closing twice does no harm.
func (vm *VM) Close() error {
	err := vm.command.Process.Kill()
	<-vm.exited
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	// The first Close has reported what there was to report.
	_ = vm.serial.Close()
	if vm.monitor != nil {
		_ = vm.monitor.Close()
	}
	return err
}

// abandon closes the VM and adds to err what QEMU said before its end.
func (vm *VM) abandon(err error) error {
	closeErr := vm.Close()
	if said := strings.TrimSpace(vm.errorOutput.String()); said != "" {
		err = fmt.Errorf("%w; QEMU said: %s", err, said)
	}
	return errors.Join(err, closeErr)
}

// Ask sends one request line and returns the guest's answer line. After an error
// the VM is of no more use but for Close.
func (vm *VM) Ask(ctx context.Context, request string) (string, error) {
	if strings.ContainsAny(request, "\r\n") {
		return "", fmt.Errorf("ask %q: a request is one line", request)
	}
	defer interruptOnDone(ctx, vm.serial)()
	if _, err := vm.serial.Write([]byte(request + "\n")); err != nil {
		return "", fmt.Errorf("ask %q: %w", request, contextError(ctx, err))
	}
	answer, err := vm.readLine(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %q: %w", request, err)
	}
	if vm.Timings.FirstAnswer == 0 {
		vm.Timings.FirstAnswer = time.Since(vm.continuedAt)
	}
	return answer, nil
}

// AskAll asks one request after the other, up to the first error.
func (vm *VM) AskAll(ctx context.Context, requests []string) ([]Answer, error) {
	answers := make([]Answer, 0, len(requests))
	for _, request := range requests {
		answer, err := vm.Ask(ctx, request)
		if err != nil {
			return nil, err
		}
		answers = append(answers, Answer{Request: request, Answer: answer})
	}
	return answers, nil
}

// readLine reads from the serial port; its caller watches ctx.
func (vm *VM) readLine(ctx context.Context) (string, error) {
	line, err := vm.serialReader.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read the serial port: %w", contextError(ctx, err))
	}
	return strings.TrimRight(line, "\r\n"), nil
}

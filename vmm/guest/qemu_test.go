package guest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sabrefs/vmm/guest"
)

// patience is what a test waits for a guest that QEMU emulates on a busy
// machine, before it says that the guest hangs.
const patience = 2 * time.Minute

// emulated is a guest that QEMU runs without KVM.
type emulated struct {
	*guest.Client
	ctx  context.Context
	in   io.Writer
	qmp  net.Conn
	read *bufio.Reader // of qmp
	exit chan error    // how QEMU ended
	gone chan struct{} // closed then
	said bytes.Buffer  // read it only after the console has ended
}

// transcript types input, which must end the guest, and returns what the guest
// said since it was ready.
func (e *emulated) transcript(t *testing.T, input string) string {
	t.Helper()
	// What the guest says must be read meanwhile, or it cannot go on.
	go func() { _, _ = io.WriteString(e.in, input) }()
	var err error
	for !errors.Is(err, guest.ErrEnded) {
		if _, err = e.WaitReady(e.ctx); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	e.ended(t)
	_, after, _ := strings.Cut(e.said.String(), guest.ReadyLine(smallMiB)+"\r\n")
	return after
}

// bootQEMU starts a guest with memoryMiB of memory, of which the guest is told
// all but the last MiB.
func bootQEMU(t *testing.T, memoryMiB int, commandLine string, args ...string) *emulated {
	t.Helper()
	dir := plainDir(t)
	kernel, socket := filepath.Join(dir, "kernel"), filepath.Join(dir, "qmp")
	base := uint32(memoryMiB-1) << 20
	if err := os.WriteFile(kernel, kernelFile(t, base, commandLine), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	args = append([]string{
		"-machine", "pc", "-accel", "tcg", "-m", fmt.Sprint(memoryMiB), "-kernel", kernel,
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-qmp", "unix:" + socket + ",server=on,wait=off",
	}, args...)
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, console := io.Pipe()
	cmd.Stdout = console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := &emulated{ctx: ctx, in: in, exit: make(chan error, 1), gone: make(chan struct{})}
	e.Client = guest.NewClient(io.TeeReader(out, &e.said), in)
	go func() {
		err := cmd.Wait()
		_ = console.Close()
		e.exit <- err
		close(e.gone)
	}()
	t.Cleanup(func() {
		cancel()
		<-e.gone
		e.Close()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("QEMU: %s", &stderr)
		}
	})
	e.connect(t, socket)
	return e
}

// plainDir is a directory whose name has nothing that QEMU's options cannot say.
func plainDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sabrefs-guest-*") //nolint:usetesting // t.TempDir has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// connect waits for QEMU's control socket.
func (e *emulated) connect(t *testing.T, socket string) {
	t.Helper()
	for {
		conn, err := (&net.Dialer{}).DialContext(e.ctx, "unix", socket)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			e.qmp, e.read = conn, bufio.NewReader(conn)
			break
		}
		select {
		case exit := <-e.exit:
			t.Fatalf("QEMU ended before its control socket was there: %v", exit)
		case <-e.ctx.Done():
			t.Fatalf("connect to QEMU: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	e.control(t, "qmp_capabilities", nil)
}

// control sends a command to QEMU and waits until it is carried out.
func (e *emulated) control(t *testing.T, command string, arguments map[string]any) {
	t.Helper()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(e.qmp).Encode(request); err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := e.read.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var message struct {
			Return, Error json.RawMessage
		}
		if err := json.Unmarshal(answer, &message); err != nil {
			t.Fatal(err)
		}
		if message.Error != nil {
			t.Fatalf("%s: %s", command, answer)
		}
		if message.Return != nil {
			return
		}
	}
}

// dump returns lenBytes of the guest's memory.
func (e *emulated) dump(t *testing.T, address uint64, lenBytes int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "memory")
	e.control(t, "pmemsave", map[string]any{"val": address, "size": lenBytes, "filename": path})
	memory, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(memory) != lenBytes {
		t.Fatalf("QEMU wrote %d bytes of memory, not %d", len(memory), lenBytes)
	}
	return memory
}

// ended waits until QEMU has ended by itself: the guest was reset.
func (e *emulated) ended(t *testing.T) {
	t.Helper()
	select {
	case err := <-e.exit:
		if err != nil {
			t.Fatalf("QEMU: %v", err)
		}
	case <-e.ctx.Done():
		t.Fatal("the guest does not end")
	}
}

func TestGet(t *testing.T) {
	e := bootQEMU(t, 64, "console=ttyS0 mib=5 quiet")
	ready, err := e.WaitReady(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := (guest.Ready{Entries: guest.EntryCount(5), MiB: 5, Sum: guest.Sum(5)}); ready != want {
		t.Fatalf("ready = %+v, want %+v", ready, want)
	}
	for key := uint64(0); key < guest.EntryCount(5); key += 397 {
		value, err := e.Get(e.ctx, key)
		if err != nil || value != guest.Value(key) {
			t.Fatalf("get %d = %#x, %v, want %#x", key, value, err, guest.Value(key))
		}
	}
	if err := e.Quit(e.ctx); err != nil {
		t.Fatal(err)
	}
	e.ended(t)
}

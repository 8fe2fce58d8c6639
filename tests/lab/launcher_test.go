package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"sabrefs/tests/kvmtest"
	"sabrefs/tests/lab/linuxguest"
)

// guestMemory is what the guest gets for its kernel and testMiB of data.
const guestMemory = "256M"

// needFiles finds what the laboratory has built.
func needFiles(t *testing.T) (dir string) {
	t.Helper()
	kvmtest.Need(t)
	dir = os.Getenv(FilesVariable)
	if dir == "" {
		t.Skipf("no Linux guest here, `make lab` brings one: %s is not set", FilesVariable)
	}
	return dir
}

// guest is a Linux guest in `sabrefs vm`.
type guest struct {
	*monitor
	socket string
}

// sabrefsCommand is the command as a user starts it.
func sabrefsCommand(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(context.Background(), filepath.Join(needFiles(t), SabrefsFile), arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// sabrefs runs a command to its end, which must be a good one.
func sabrefs(t *testing.T, arguments ...string) {
	t.Helper()
	command := sabrefsCommand(t, arguments...)
	// Daemons that it starts must not be tied to this thread.
	command.SysProcAttr = nil
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, output)
	}
}

// guestCommandLine keeps the kernel from testing ciphers and looking for what is
// not there: half of the time of a boot.
const guestCommandLine = "console=ttyS0 quiet panic=-1 reboot=k rootfstype=ramfs pci=off mitigations=off cryptomgr.notests lsm= "

// boot starts a guest from the kernel.
func boot(t *testing.T, processors int, arguments ...string) *guest {
	t.Helper()
	files := needFiles(t)
	g := start(t, append([]string{
		"vm", "run",
		"--kernel", filepath.Join(files, GuestKernelFile), "--initrd", filepath.Join(files, GuestInitrdFile),
		"--cmdline", fmt.Sprint(guestCommandLine, linuxguest.MemoryOption, testMiB),
		"--memory", guestMemory, "--cpus", fmt.Sprint(processors),
	}, arguments...)...)
	g.awaitReady(t, processors)
	return g
}

// restore starts a guest from a snapshot.
func restore(t *testing.T, dir string, arguments ...string) *guest {
	t.Helper()
	return start(t, append([]string{"vm", "restore", dir}, arguments...)...)
}

func start(t *testing.T, arguments ...string) *guest {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api")
	command := sabrefsCommand(t, append(arguments, "--api-sock", socket)...)
	return &guest{monitor: startMonitor(t, command), socket: socket}
}

// snapshot takes one into a new directory.
func (g *guest) snapshot(t *testing.T, arguments ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "snapshot")
	sabrefs(t, append([]string{"vm", "snapshot", "--api-sock", g.socket, dir}, arguments...)...)
	return dir
}

// expectState compares what the API says of the machine.
func (g *guest) expectState(t *testing.T, want string) {
	t.Helper()
	if state := g.state(t); state != want {
		t.Errorf("the machine is %s, want %s", state, want)
	}
}

func (g *guest) resume(t *testing.T) {
	t.Helper()
	sabrefs(t, "vm", "resume", "--api-sock", g.socket)
}

// kill is what happens to a machine whose snapshot goes on elsewhere.
func (g *guest) kill(t *testing.T) {
	t.Helper()
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = g.wait() // says that it was the signal
	if _, err := os.Stat(g.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left (%v)", err)
	}
}

// off lets the guest end itself, and the launcher with it.
func (g *guest) off(t *testing.T) {
	t.Helper()
	g.expect(t, "off", "off")
	if err := g.wait(); err != nil {
		t.Errorf("%v after the guest's end: %v", g.command.Args, err)
	}
}

// state asks the API socket, as clients of Firecracker do.
func (g *guest) state(t *testing.T) string {
	t.Helper()
	client := http.Client{
		Timeout: replyTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", g.socket)
		}},
	}
	response, err := client.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var info struct{ State string }
	if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	return info.State
}

// pack packs a snapshot into a store and returns the store's directory and the
// name of the snapshot in it.
func pack(t *testing.T, snapshot string) (store, name string) {
	t.Helper()
	store, name = t.TempDir(), "packed"
	sabrefs(t, "pack", snapshot, filepath.Join(store, name))
	return store, name
}

// mount mounts a store until the end of the test.
func mount(t *testing.T, store string) (mountPoint string) {
	t.Helper()
	mountPoint = t.TempDir()
	sabrefs(t, "mount", store, mountPoint)
	t.Cleanup(func() { sabrefs(t, "umount", mountPoint) })
	return mountPoint
}

//go:build amd64

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm/guest"
)

// guestTestMiB is the size of the guest's table in these tests.
const guestTestMiB = 4

// vmProcess is a sabrefs vm command with the built-in guest in it.
type vmProcess struct {
	*guest.Client
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
}

// startVM starts a command whose console is that of the built-in guest.
func startVM(t *testing.T, args ...string) *vmProcess {
	t.Helper()
	p := &vmProcess{t: t, cmd: command(t, append([]string{"vm"}, args...)...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	noError(t, err)
	out, child, err := os.Pipe()
	noError(t, err)
	p.cmd.Stdout = child
	noError(t, p.cmd.Start())
	noError(t, child.Close())
	p.Client = guest.NewClient(out, in)
	go func() {
		_ = p.cmd.Wait() // its state says how it went
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		noError(t, out.Close())
		p.Close()
	})
	return p
}

// startBuiltinGuest runs a new guest until it is ready.
func startBuiltinGuest(t *testing.T, args ...string) *vmProcess {
	t.Helper()
	p := startVM(t, append([]string{"run", "--builtin-guest", "--memory", "16M", "--cmdline", guest.CommandLine(guestTestMiB)}, args...)...)
	_, err := p.WaitReady(p.patience())
	noError(t, err)
	return p
}

// patience is for guests that are interpreted.
func (p *vmProcess) patience() context.Context {
	ctx, cancel := context.WithTimeout(p.t.Context(), 100*time.Second)
	p.t.Cleanup(cancel)
	return ctx
}

// wantValue looks a key up.
func (p *vmProcess) wantValue(key uint64) {
	p.t.Helper()
	value, err := p.Get(p.patience(), key)
	if err != nil || value != guest.Value(key) {
		p.t.Fatalf("key %d has the value %#x, %v, want %#x; standard error: %s", key, value, err, guest.Value(key), &p.stderr)
	}
}

// wantEnd waits for the end of the process.
func (p *vmProcess) wantEnd(code int, words ...string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-p.patience().Done():
		p.t.Fatal("the process has not ended")
	}
	o := outcome{strings.Join(p.cmd.Args, " "), "", p.stderr.String(), p.cmd.ProcessState.ExitCode()}
	if code != exitOK {
		o.check(p.t, code, words...)
	} else if o.code != exitOK || o.stderr != "" {
		p.t.Errorf("%s: exit code %d, standard error %q", o.line, o.code, o.stderr)
	}
}

// snapshotOfGuest returns the directory of a snapshot of a guest that has answered
// three questions.
func snapshotOfGuest(t *testing.T) (dir string) {
	t.Helper()
	socket := filepath.Join(publicTempDir(t), "vm.sock")
	p := startBuiltinGuest(t, "--api-sock", socket)
	for key := range uint64(3) {
		p.wantValue(key)
	}
	dir = filepath.Join(realTempDir(t), "snapshot")
	sabrefs(t, "vm", "snapshot", "--api-sock", socket, dir)
	p.wantValue(3)
	sabrefs(t, "vm", "stop", "--api-sock", socket)
	p.wantEnd(exitOK)
	wantNames(t, filepath.Dir(socket))
	return dir
}

// wantGoesOn checks that a restored guest is that of snapshotOfGuest.
func (p *vmProcess) wantGoesOn() {
	p.t.Helper()
	stat, err := p.Stat(p.patience())
	if err != nil || stat.Lookups != 3 {
		p.t.Fatalf("the guest says %+v, %v, want 3 lookups; standard error: %s", stat, err, &p.stderr)
	}
	p.wantValue(77)
	if damaged, err := p.Verify(p.patience()); err != nil || damaged != 0 {
		p.t.Errorf("%d pages are damaged, %v", damaged, err)
	}
}

// tempDirForCommands is where commands that are started put temporary files.
func tempDirForCommands(t *testing.T) string {
	t.Helper()
	dir := publicTempDir(t)
	t.Setenv("TMPDIR", dir)
	return dir
}

// TestKVMRestore restores from the raw files and from a packed snapshot, which is
// mounted for it.
func TestKVMRestore(t *testing.T) {
	kvmtest.Need(t)
	requireFUSE(t)
	dir := snapshotOfGuest(t)
	store := filepath.Join(realTempDir(t), "store")
	sabrefs(t, "pack", dir, store)
	temporary := tempDirForCommands(t)
	for _, from := range []string{dir, store} {
		p := startVM(t, "restore", "--json", from)
		p.wantGoesOn()
		noError(t, p.Quit(p.patience()))
		<-p.ended
		report := decodeJSON[vmReport](t, p.stderr.String())
		if p.cmd.ProcessState.ExitCode() != exitOK || report.Ended != "in order" {
			t.Errorf("%s: ended with %v, %+v", from, p.cmd.ProcessState, report)
		}
		if report.KVMMillis <= 0 || report.OpenMillis <= 0 || report.MapMillis < report.OpenMillis || report.StateMillis < report.MapMillis ||
			report.FirstInstructionMillis < report.StateMillis || report.FirstOutputMillis < report.FirstInstructionMillis {
			t.Errorf("times are not in order: %+v", report)
		}
		if (report.MountMillis > 0) != (from == store) {
			t.Errorf("%s: mounting took %v ms", from, report.MountMillis)
		}
		wantNames(t, temporary)
	}
	if isMounted(t, temporary) {
		t.Error("something is mounted")
	}
}

// TestKVMRestoreKilled: the mount of a machine whose process is killed goes away.
func TestKVMRestoreKilled(t *testing.T) {
	kvmtest.Need(t)
	requireFUSE(t)
	store := filepath.Join(realTempDir(t), "store")
	sabrefs(t, "pack", snapshotOfGuest(t), store)
	temporary := tempDirForCommands(t)
	p := startVM(t, "restore", store)
	p.wantGoesOn()
	points, err := os.ReadDir(temporary)
	noError(t, err)
	if len(points) != 1 || !isMounted(t, filepath.Join(temporary, points[0].Name())) {
		t.Fatalf("%v has no mount", points)
	}
	point := filepath.Join(temporary, points[0].Name())
	noError(t, p.cmd.Process.Kill())
	<-p.ended
	eventually(t, "the mount and its place are gone", func() bool {
		_, err := os.Stat(point)
		return errors.Is(err, os.ErrNotExist)
	})
	if isMounted(t, point) {
		t.Error("still mounted")
	}
}

// TestKVMDiff merges a diff of a restored machine with what it came from.
func TestKVMDiff(t *testing.T) {
	kvmtest.Need(t)
	dir := snapshotOfGuest(t)
	socket := filepath.Join(publicTempDir(t), "vm.sock")
	p := startVM(t, "restore", "--track-dirty-pages", "--api-sock", socket, dir)
	const written = 40
	if total, err := p.Write(p.patience(), written); err != nil || total != written {
		t.Fatalf("wrote %d pages, %v", total, err)
	}
	diff := filepath.Join(realTempDir(t), "diff")
	row := decodeJSON[vmSnapshotRow](t, sabrefs(t, "vm", "snapshot", "--diff", "--json", "--api-sock", socket, diff))
	if row.AllocatedBytes < written*4096 || row.AllocatedBytes > row.RawBytes/4 || row.RawBytes != 16<<20 {
		t.Errorf("a diff of %d pages takes %d of %d bytes", written, row.AllocatedBytes, row.RawBytes)
	}
	noError(t, p.Quit(p.patience()))
	p.wantEnd(exitOK)

	refused(t, exitParent, []string{"vm", "restore", diff}, filepath.Join(diff, memoryFileName))
	sabrefs(t, "vm", "merge", filepath.Join(dir, memoryFileName), filepath.Join(diff, memoryFileName), filepath.Join(diff, memoryFileName))
	p = startVM(t, "restore", diff)
	stat, err := p.Stat(p.patience())
	if err != nil || stat.Written != written || stat.Lookups != 3 {
		t.Errorf("the guest says %+v, %v", stat, err)
	}
	p.wantValue(123)
	if damaged, err := p.Verify(p.patience()); err != nil || damaged != 0 {
		t.Errorf("%d pages are damaged, %v", damaged, err)
	}
	noError(t, p.Quit(p.patience()))
	p.wantEnd(exitOK)
}

// provocationsWithKVM has the exit codes that only machines have.
var provocationsWithKVM = map[int][]func(t *testing.T){
	exitGuest: {provokeCrash, provokePoke},
}

func TestKVMExitCodes(t *testing.T) {
	kvmtest.Need(t)
	for _, provocations := range provocationsWithKVM {
		for _, provoke := range provocations {
			provoke(t)
		}
	}
}

func provokeCrash(t *testing.T) {
	t.Helper()
	p := startBuiltinGuest(t)
	noError(t, p.Crash(p.patience()))
	p.wantEnd(exitGuest, "triple fault")
}

func provokePoke(t *testing.T) {
	t.Helper()
	p := startBuiltinGuest(t)
	noError(t, p.Poke(p.patience()))
	p.wantEnd(exitGuest, "0x")
}

// TestKVMSignals ends guests that would not end, with and without a socket.
func TestKVMSignals(t *testing.T) {
	kvmtest.Need(t)
	socket := filepath.Join(publicTempDir(t), "vm.sock")
	for _, args := range [][]string{nil, {"--api-sock", socket}} {
		p := startBuiltinGuest(t, args...)
		noError(t, p.Spin(p.patience()))
		noError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		p.wantEnd(exitInterrupted, "interrupted")
		wantNames(t, filepath.Dir(socket))
	}
}

// TestKVMClonesShare restores clones from one mount: their memory is the page cache's.
func TestKVMClonesShare(t *testing.T) {
	kvmtest.Need(t)
	requireFUSE(t)
	dir, point := snapshotOfGuest(t), mountPoint(t)
	store := realTempDir(t)
	sabrefs(t, "pack", dir, filepath.Join(store, "guest"))
	sabrefs(t, "mount", store, point)
	memory := filepath.Join(point, "guest", memoryFileName)
	var clones []*vmProcess
	for range 3 {
		p := startVM(t, "restore", "--memory", memory, dir)
		p.wantGoesOn()
		clones = append(clones, p)
	}
	// what one writes, no other sees
	_, err := clones[0].Write(clones[0].patience(), 8)
	noError(t, err)
	for i, p := range clones {
		stat, err := p.Stat(p.patience())
		if want := map[bool]uint64{true: 8}[i == 0]; err != nil || stat.Written != want {
			t.Errorf("clone %d says %+v, %v, want %d pages written", i, stat, err, want)
		}
		rss, written := residentOf(t, p.cmd.Process.Pid, memory)
		if rss < guestTestMiB<<20 || written > rss/4 {
			t.Errorf("clone %d has %d bytes of the file, of which it has copied %d", i, rss, written)
		}
		noError(t, p.Quit(p.patience()))
		p.wantEnd(exitOK)
	}
}

// residentOf returns what a process has resident of a mapped file, and how much of that
// is a copy of its own. (What it shares with nobody is more, if nobody maps the rest.)
func residentOf(t *testing.T, pid int, path string) (rss, written int64) {
	t.Helper()
	var ofFile bool
	for line := range strings.Lines(string(readFile(t, fmt.Sprintf("/proc/%d/smaps", pid)))) {
		var name string
		var kib int64
		if _, err := fmt.Sscanf(line, "%s %d kB", &name, &kib); err != nil { // the head of a mapping, or flags
			ofFile = strings.HasSuffix(line, " "+path+"\n") || ofFile && strings.HasPrefix(line, "VmFlags")
			continue
		}
		switch {
		case ofFile && name == "Rss:":
			rss += kib << 10
		case ofFile && name == "Private_Dirty:":
			written += kib << 10
		}
	}
	if rss == 0 {
		t.Fatalf("process %d has nothing of %s resident", pid, path)
	}
	return rss, written
}

func TestVMArguments(t *testing.T) {
	dir := realTempDir(t)
	for _, c := range []struct {
		args  []string
		words string
	}{
		{[]string{"run"}, "--kernel"},
		{[]string{"run", "--kernel", "x", "--builtin-guest"}, "one of them"},
		{[]string{"run", "--api-sock", "x", "--initrd", "y"}, "--initrd"},
		{[]string{"run", "--builtin-guest", "--drive", "readonly"}, "path=FILE"},
		{[]string{"run", "--builtin-guest", "--memory", "many"}, "many"},
		{[]string{"restore"}, "DIR"},
		{[]string{"merge", "a", "b"}, "BASE DIFF OUT"},
		{[]string{"run", "--api-sock", filepath.Join(dir, strings.Repeat("x", 200))}, "too long"},
		{[]string{"run", "--api-sock", filepath.Join(dir, "s"), "--id", "no spaces"}, "instance ID"},
	} {
		refused(t, exitUsage, append([]string{"vm"}, c.args...), c.words)
	}
	refused(t, exitNotFound, []string{"vm", "restore", dir}, dir, memoryFileName)
	file := writeFile(t, filepath.Join(dir, "file"), []byte("no socket"))
	refused(t, exitExists, []string{"vm", "run", "--api-sock", file}, file)
	wantContent(t, file, []byte("no socket"))
	wantNames(t, dir, "file")
}

// TestVMWithoutKVM hides the device, if there is one.
func TestVMWithoutKVM(t *testing.T) {
	cmd := command(t, "vm", "run", "--builtin-guest")
	if _, err := os.Stat("/dev/kvm"); err == nil {
		shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", `mount --bind /dev/null /dev/kvm && exec /proc/self/exe vm run --builtin-guest`)
		shell.Args[2] = strings.Replace(shell.Args[2], "/proc/self/exe", executable(t), 1)
		shell.Env = cmd.Env
		shell.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		cmd = shell
	}
	finish(t, cmd).check(t, exitNotReady, "/dev/kvm")
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	noError(t, err)
	return path
}

// TestFirecrackerByName: a client that starts Firecracker may be given this program.
func TestFirecrackerByName(t *testing.T) {
	socket := filepath.Join(publicTempDir(t), "api.sock")
	cmd := command(t, "--api-sock", socket, "--id", "one", "--no-seccomp")
	cmd.Args[0] = "/usr/local/bin/firecracker"
	noError(t, cmd.Start())
	client, err := newVMClient(socket)
	noError(t, err)
	var vm instance
	eventually(t, "the socket is served", func() bool {
		vm, err = client.describe(t.Context())
		return err == nil
	})
	if vm.ID != "one" || vm.State != instanceNotStarted {
		t.Errorf("it describes itself as %+v", vm)
	}
	noError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	wantNames(t, filepath.Dir(socket))
}

func TestVMReportIsOneLine(t *testing.T) {
	var out bytes.Buffer
	report := vmReport{Ended: oneLine(errors.Join(errors.New("a"), errors.New("b")))}
	noError(t, report.print(&out))
	var keys map[string]any
	noError(t, json.Unmarshal(out.Bytes(), &keys))
	if strings.Count(out.String(), "\n") != 1 || keys["ended"] != "a; b" || !slices.Contains(strings.Split(out.String(), `"`), "first_instruction_millis") {
		t.Errorf("printed %s", &out)
	}
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// TestMount: when the command returns, the files are there; its pipes are
// closed, or else it would not seem to return.
func TestMount(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	if said := sabrefs(t, "mount", storeDir, point); said != "" {
		t.Errorf("mount said %q", said)
	}
	wantContent(t, filepath.Join(point, "guest", "mem_file"), memory)
	wantNames(t, filepath.Join(point, "guest"), "mem_file", "snapshot_file")
	if said := sabrefs(t, "umount", point); said != "" {
		t.Errorf("umount said %q", said)
	}
	wantGone(t, point)
}

// TestDaemonIsDetached: the daemon is not in its caller's session and holds
// none of its files and directories.
func TestDaemonIsDetached(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	lock, callersEnd, err := os.Pipe()
	noError(t, err)
	defer lock.Close()
	cmd := command(t, "mount", storeDir, point)
	cmd.Dir = realTempDir(t)
	cmd.ExtraFiles = []*os.File{nil, nil, callersEnd} // as `sabrefs mount 5>lock` in a script
	if o := finish(t, cmd); o.code != exitOK {
		t.Fatalf("mount: %+v", o)
	}
	noError(t, callersEnd.Close())
	noError(t, lock.SetReadDeadline(time.Now().Add(time.Minute)))
	if b, err := io.ReadAll(lock); err != nil || len(b) > 0 { // waits for whoever has the other end
		t.Errorf("read %q, %v", b, err)
	}
	pid := daemon(t, point)
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("the daemon %d is in session %d (%v), want its own", pid, session, err)
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || dir != "/" {
		t.Errorf("the daemon works in %s (%v), want /", dir, err)
	}
	for fd := range 3 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || target != os.DevNull {
			t.Errorf("file %d of the daemon is %s (%v), want %s", fd, target, err, os.DevNull)
		}
	}
	environment := readFile(t, fmt.Sprintf("/proc/%d/environ", pid))
	if !strings.Contains(string(environment), commandEnv) {
		t.Errorf("the process that was found is not one of ours: %q", environment)
	}
	sabrefs(t, "umount", point)
	wantGone(t, point)
}

// TestMountArguments: relative paths, names that look like flags, and flags in
// any place reach the daemon.
func TestMountArguments(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	noError(t, os.Rename(storeDir, filepath.Join(filepath.Dir(point), "-store")))
	for _, args := range [][]string{
		{"mount", "--", "-store", "mnt"},
		{"mount", "./-store", "mnt/", "--cache-size", "8M"},
		{"mount", "--foreground=false", "--prefetch=none", "--verbose", "--allow-other", "--", "-store", "./mnt"},
	} {
		cmd := command(t, args...)
		cmd.Dir = filepath.Dir(point)
		if o := finish(t, cmd); o.code != exitOK || o.stderr != "" {
			t.Fatalf("%v: %+v", args, o)
		}
		wantNames(t, filepath.Join(point, "guest"), "mem_file", "snapshot_file")
		sabrefs(t, "umount", point)
		wantGone(t, point)
	}
}

func TestMountRefuses(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	missing := filepath.Join(filepath.Dir(point), "missing")
	file := filepath.Join(storeDir, "guest", "snapshot_file")
	inside := makeDir(t, filepath.Join(storeDir, "guest", "mnt"))
	tests := []struct {
		name string
		code int
		args []string
		word string
	}{
		{"store missing", exitNotFound, []string{missing, point}, missing},
		{"store is a file", exitUsage, []string{file, point}, file},
		{"mount point missing", exitNotFound, []string{storeDir, missing}, missing},
		{"mount point is a file", exitUsage, []string{storeDir, file}, file},
		{"mount point is the store", exitUsage, []string{storeDir, storeDir}, storeDir},
		{"mount point in the store", exitUsage, []string{storeDir, inside}, inside},
		{"unknown prefetch mode", exitUsage, []string{"--prefetch", "some", storeDir, point}, "some"},
		{"cache of no size", exitUsage, []string{"--cache-size", "much", storeDir, point}, "--cache-size"},
		{"negative cache", exitUsage, []string{"--cache-size", "-1", storeDir, point}, "--cache-size"},
		{"huge cache", exitUsage, []string{"--cache-size", "1e30", storeDir, point}, "--cache-size"},
		{"recording with prefetch", exitUsage, []string{"--record", filepath.Dir(point) + "/t", "--prefetch", "eager", storeDir, point}, "--record"},
		{"recording into a file", exitUsage, []string{"--record", file, storeDir, point}, file},
		{"negative window", exitUsage, []string{"--record", filepath.Dir(point) + "/t", "--record-window", "-1s", storeDir, point}, "--record-window"},
		{"traces missing", exitNotFound, []string{"--working-set", missing, storeDir, point}, missing},
		{"traces are a file", exitUsage, []string{"--working-set", file, storeDir, point}, file},
		{"parents missing", exitNotFound, []string{"--parent-dir", missing, storeDir, point}, missing},
		{"parents are a file", exitUsage, []string{"--parent-dir", storeDir, "--parent-dir", file, storeDir, point}, file},
		{"mount point among parents", exitUsage, []string{"--parent-dir", filepath.Dir(point), storeDir, point}, point},
		{"budget of no size", exitUsage, []string{"--prefetch-budget", "much", storeDir, point}, "--prefetch-budget"},
		{"no address for metrics", exitFailure, []string{"--metrics-addr", "nowhere", storeDir, point}, "--metrics-addr"},
		{"log in a missing directory", exitNotFound, []string{"--log-file", missing + "/log", storeDir, point}, missing},
	}
	for _, test := range tests {
		for _, command := range [][]string{{"mount"}, {"mount", "--foreground"}} {
			t.Run(test.name+" "+strings.Join(command, " "), func(t *testing.T) {
				refused(t, test.code, append(command, test.args...), test.word)
				wantGone(t, point)
			})
		}
	}
}

// TestMountPointInUse: by another store, by another filesystem, and through a
// symbolic link.
func TestMountPointInUse(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	link := filepath.Join(realTempDir(t), "link")
	noError(t, os.Symlink(point, link))
	noError(t, unix.Mount("tmpfs", point, "tmpfs", 0, "size=64k"))
	refused(t, exitBusy, []string{"mount", storeDir, point}, point, "tmpfs")
	refused(t, exitUsage, []string{"umount", point}, point, "no store is mounted")
	noError(t, unix.Unmount(point, 0))
	sabrefs(t, "mount", storeDir, point)
	for _, path := range []string{point, link} {
		refused(t, exitBusy, []string{"mount", storeDir, path}, point)
	}
	sabrefs(t, "umount", link)
	wantGone(t, point)
}

// inForeground starts a daemon that the test waits for. Its log comes line by
// line.
type inForeground struct {
	cmd *exec.Cmd
	log *bufio.Scanner
}

func mountInForeground(t *testing.T, args ...string) inForeground {
	t.Helper()
	cmd := command(t, append([]string{"mount", "--foreground"}, args...)...)
	stderr, err := cmd.StderrPipe()
	noError(t, err)
	noError(t, cmd.Start())
	f := inForeground{cmd, bufio.NewScanner(stderr)}
	f.waitFor(t, "msg=mounted")
	return f
}

// waitFor reads the log up to a line with these words.
func (f inForeground) waitFor(t *testing.T, words string) {
	t.Helper()
	for f.log.Scan() {
		if strings.Contains(f.log.Text(), words) {
			return
		}
	}
	t.Fatalf("the log ended without %q: %v", words, f.cmd.Wait())
}

func (f inForeground) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	noError(t, f.cmd.Process.Signal(sig))
}

// end waits for the daemon's end, which must be a clean one.
func (f inForeground) end(t *testing.T) {
	t.Helper()
	f.waitFor(t, "msg=unmounted")
	for f.log.Scan() {
		t.Errorf("the daemon has more to say: %s", f.log.Text())
	}
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("the daemon ended: %v", err)
	}
}

func TestForeground(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	for _, end := range []func(inForeground){
		func(f inForeground) { f.signal(t, syscall.SIGTERM) },
		func(f inForeground) { f.signal(t, os.Interrupt) },
		func(inForeground) { sabrefs(t, "umount", point) },
	} {
		f := mountInForeground(t, storeDir, point)
		wantContent(t, filepath.Join(point, "guest", "mem_file"), memory)
		end(f)
		f.end(t)
		wantGone(t, point)
	}
}

// TestSignalWhileInUse: the daemon goes on serving, and unmounts at a later
// signal.
func TestSignalWhileInUse(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	f := mountInForeground(t, storeDir, point)
	file := openMemory(t, point)
	for range 2 {
		f.signal(t, syscall.SIGTERM)
		f.waitFor(t, "still serving")
	}
	wantContent(t, filepath.Join(point, "guest", "mem_file"), memory)
	noError(t, file.Close())
	f.signal(t, syscall.SIGTERM)
	f.end(t)
	wantGone(t, point)
}

// TestBackgroundSignal: a daemon in the background unmounts on SIGTERM too.
func TestBackgroundSignal(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	sabrefs(t, "mount", storeDir, point)
	noError(t, syscall.Kill(daemon(t, point), syscall.SIGTERM))
	eventually(t, "the daemon unmounts", func() bool { return !isMounted(t, point) })
	wantGone(t, point)
}

func TestLogFile(t *testing.T) {
	point := mountPoint(t)
	storeDir, _ := packedStore(t)
	flip(headerBytes+10)(t, filepath.Join(storeDir, "guest", "mem_file.sabre"))
	log := filepath.Join(realTempDir(t), "log")
	writeFile(t, log, []byte("an older line\n"))
	sabrefs(t, "mount", "--log-file", log, storeDir, point)
	if _, err := os.ReadFile(filepath.Join(point, "guest", "mem_file")); err == nil {
		t.Error("damaged memory can be read")
	}
	sabrefs(t, "umount", point)
	wantGone(t, point)
	text := string(readFile(t, log))
	for _, want := range []string{"an older line\n", "msg=mounted", "guest/mem_file", "offset", "msg=unmounted"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not mention %q:\n%s", want, text)
		}
	}
	f := mountInForeground(t, "--verbose", storeDir, point)
	f.signal(t, syscall.SIGTERM)
	f.end(t)
}

// TestMountParentDir: a parent outside the store is found where the operator says; else
// the log does, and tells of the flag.
func TestMountParentDir(t *testing.T) {
	point := mountPoint(t)
	dir := realTempDir(t)
	memory := guestMemory(samplePages)
	later := append([]byte("later"), memory[len("later"):]...)
	base, child := filepath.Join(makeDir(t, filepath.Join(dir, "bases")), "base.sabre"), filepath.Join(makeDir(t, filepath.Join(dir, "store")), "mem_file.sabre")
	_, err := store.PackFile(t.Context(), writeFile(t, filepath.Join(dir, "memory"), memory), base, store.PackOptions{})
	noError(t, err)
	_, err = store.PackFile(t.Context(), writeFile(t, filepath.Join(dir, "later"), later), child, store.PackOptions{Parent: base})
	noError(t, err)
	log := filepath.Join(dir, "log")
	sabrefs(t, "mount", "--log-file", log, filepath.Dir(child), point)
	if _, err := os.ReadFile(filepath.Join(point, "mem_file")); !errors.Is(err, syscall.EIO) {
		t.Errorf("reading without the parent: %v", err)
	}
	sabrefs(t, "umount", point)
	wantGone(t, point)
	for _, want := range []string{child, "base.sabre", "outside the store", "--parent-dir"} {
		if text := string(readFile(t, log)); !strings.Contains(text, want) {
			t.Errorf("the log does not mention %q:\n%s", want, text)
		}
	}
	cmd := command(t, "mount", "--parent-dir", "store", "--parent-dir", "bases", "store", point)
	cmd.Dir = dir
	if o := finish(t, cmd); o.code != exitOK || o.stderr != "" {
		t.Fatalf("mount: %+v", o)
	}
	wantContent(t, filepath.Join(point, "mem_file"), later)
	sabrefs(t, "umount", point)
	wantGone(t, point)
}

// TestMountAsUser goes by way of fusermount3.
func TestMountAsUser(t *testing.T) {
	point := mountPoint(t)
	dir := publicTempDir(t)
	memory := writeSnapshot(t, filepath.Join(dir, "snapshot"))
	sabrefs(t, "pack", filepath.Join(dir, "snapshot"), filepath.Join(dir, "guest"))
	asUser := func(args ...string) outcome {
		cmd := command(t, args...)
		asNobody(t, cmd)
		return finish(t, cmd)
	}
	// what fusermount3 says is part of the message
	asUser("mount", dir, point).check(t, exitFailure, point, "fusermount3: ")
	noError(t, os.Chown(point, nobody, nobody))
	if device, err := os.Stat("/dev/fuse"); err != nil || device.Mode()&0o006 != 0o006 {
		t.Logf("on this machine users may not open /dev/fuse (%v, %v)", device.Mode(), err)
		asUser("mount", dir, point).check(t, exitFailure, point, "fusermount3: ", "/dev/fuse")
		return
	}
	if o := asUser("mount", dir, point); o.code != exitOK || o.stderr != "" {
		t.Fatalf("mount: %+v", o)
	}
	read := exec.CommandContext(t.Context(), "cat", filepath.Join(point, "guest", "mem_file"))
	asNobody(t, read)
	if got, err := read.Output(); err != nil || string(got) != string(memory) {
		t.Errorf("read %d bytes of %d: %v", len(got), len(memory), err)
	}
	hold := exec.CommandContext(t.Context(), "sleep", "1000")
	asNobody(t, hold)
	hold.Dir = filepath.Join(point, "guest")
	noError(t, hold.Start())
	asUser("umount", point).check(t, exitBusy, point, "--lazy")
	noError(t, hold.Process.Kill())
	_ = hold.Wait() // it was killed
	if o := asUser("umount", point); o.code != exitOK || o.stderr != "" {
		t.Errorf("umount: %+v", o)
	}
	wantGone(t, point)
}

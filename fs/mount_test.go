package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, nil)
	storeDir, point := filepath.Join(dir, "store"), filepath.Join(dir, "point")
	mustNot(t, errors.Join(os.MkdirAll(filepath.Join(storeDir, "sub"), 0o755), os.MkdirAll(filepath.Join(point, "sub"), 0o755)))
	mustNot(t, os.Symlink(filepath.Join(storeDir, "sub"), filepath.Join(dir, "link")))
	mustNot(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, c := range []struct {
		what   string
		config Config
		want   error
	}{
		{"store is a file", Config{StoreDir: file, MountPoint: point}, ErrStore},
		{"store is missing", Config{StoreDir: dir + "/none", MountPoint: point}, ErrStore},
		{"mount point is a file", Config{StoreDir: storeDir, MountPoint: file}, ErrMountPoint},
		{"mount point is missing", Config{StoreDir: storeDir, MountPoint: dir + "/none"}, ErrMountPoint},
		{"mount point is a loop", Config{StoreDir: storeDir, MountPoint: dir + "/loop"}, ErrMountPoint},
		{"mount point is the store", Config{StoreDir: storeDir, MountPoint: storeDir}, ErrNested},
		{"mount point is in the store", Config{StoreDir: storeDir, MountPoint: storeDir + "/sub"}, ErrNested},
		{"mount point leads into the store", Config{StoreDir: storeDir, MountPoint: dir + "/link"}, ErrNested},
		{"mount point is a mount", Config{StoreDir: storeDir, MountPoint: "/proc"}, ErrMounted},
		{"cache is negative", Config{StoreDir: storeDir, MountPoint: point, CacheBytes: -1}, ErrConfig},
		{"directory of parents is missing", Config{StoreDir: storeDir, MountPoint: point, ParentDirs: []string{dir + "/none"}}, ErrConfig},
		{"directory of parents is a file", Config{StoreDir: storeDir, MountPoint: point, ParentDirs: []string{storeDir, file}}, ErrConfig},
		{"mount point is in a directory of parents", Config{StoreDir: storeDir, MountPoint: point, ParentDirs: []string{dir}}, ErrConfig},
		{"mount point is a directory of parents", Config{StoreDir: storeDir, MountPoint: point, ParentDirs: []string{point}}, ErrConfig},
		{"directory of parents is in the mount point", Config{StoreDir: storeDir, MountPoint: point, ParentDirs: []string{point + "/sub"}}, ErrConfig},
		{"prefetch mode is unknown", Config{StoreDir: storeDir, MountPoint: point, Prefetch: 9}, ErrConfig},
	} {
		if _, err := Mount(context.Background(), c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Mount(ctx, Config{StoreDir: storeDir, MountPoint: point}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestMountPointIsBusy(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	link := filepath.Join(t.TempDir(), "link")
	mustNot(t, os.Symlink(m.point, link))
	for _, point := range []string{m.point, link, m.point + "/../" + filepath.Base(m.point)} {
		if _, err := Mount(context.Background(), Config{StoreDir: dir, MountPoint: point}); !errors.Is(err, ErrMounted) {
			t.Errorf("%s: %v, want %v", point, err, ErrMounted)
		}
	}
}

// A mount whose daemon died can be told apart and does not block.
func TestDeadMountIsBusy(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	mustNot(t, m.cmd.Process.Kill())
	if err := m.cmd.Wait(); err == nil {
		t.Error("the server ended well")
	}
	m.over = true
	t.Cleanup(func() { mustNot(t, unix.Unmount(m.point, unix.MNT_DETACH)) })
	eventually(t, "the mount is dead", func() bool {
		_, err := os.Stat(m.point)
		return errors.Is(err, syscall.ENOTCONN)
	})
	if _, err := Mount(context.Background(), Config{StoreDir: dir, MountPoint: m.point}); !errors.Is(err, ErrMounted) {
		t.Errorf("%v, want %v", err, ErrMounted)
	}
}

func TestMountTable(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	table, err := os.ReadFile("/proc/mounts")
	mustNot(t, err)
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if f[1] != m.point {
			continue
		}
		if f[0] != "sabrefs:"+dir || f[2] != "fuse.sabrefs" {
			t.Errorf("%s", line)
		}
		for _, option := range []string{"nosuid", "nodev", "default_permissions", "max_read=1048576"} {
			if !strings.Contains(f[3], option) {
				t.Errorf("no %s in %s", option, f[3])
			}
		}
		return
	}
	t.Error("not in the table")
}

// Whoever unmounts, the server ends and leaves nothing.
func TestUnmountedFromOutside(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	wantContent(t, m.file("snap/mem_file"), raw)
	eventually(t, "the mount can be taken away", func() bool { return unix.Unmount(m.point, 0) == nil })
	m.stop()
	if names := listNames(t, m.point); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// A mount that somebody detached while it is in use goes on for its users; an
// Unmount then waits for the last of them.
func TestUnmountAfterDetach(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	guest, err := os.Open(m.file("snap/mem_file"))
	mustNot(t, err)
	mustNot(t, unix.Unmount(m.point, unix.MNT_DETACH))
	fmt.Fprintln(m.commands, "unmount")
	got, err := io.ReadAll(guest)
	mustNot(t, err)
	wantEqual(t, "file", got, raw)
	mustNot(t, guest.Close())
	if answer := m.answer(); answer != "<nil>" {
		t.Errorf("unmount: %s", answer)
	}
}

// A mount in use is not taken away.
func TestUnmountWhileInUse(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	guest := mapFile(t, m.file("snap/mem_file"), unix.MAP_PRIVATE)
	fmt.Fprintln(m.commands, "unmount")
	if answer := m.answer(); !strings.Contains(answer, syscall.EBUSY.Error()) || !strings.Contains(answer, m.point) {
		t.Errorf("unmount: %s", answer)
	}
	wantEqual(t, "mapping", guest, raw)
}

func TestReadAheadIsRaised(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	info, ok, err := findMount(m.point)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	path := "/sys/class/bdi/" + info.device + "/read_ahead_kb"
	value, err := os.ReadFile(path)
	mustNot(t, err)
	if err := os.WriteFile(path, value, 0); err != nil {
		t.Skipf("this root may not set read-ahead: %v", err)
	}
	if got := strings.TrimSpace(string(value)); got != "1024" {
		t.Errorf("read-ahead is %s KiB", got)
	}
}

// nobody can mount by way of fusermount3 what it can read. Usually everybody
// may open /dev/fuse; where not, the test runs where it is so.
func TestUserMount(t *testing.T) {
	requireFUSE(t)
	helper, err := exec.LookPath("fusermount3")
	if err != nil {
		t.Fatalf("fusermount3 is needed: %v", err)
	}
	if info, err := os.Stat(helper); err != nil || info.Mode()&os.ModeSetuid == 0 {
		t.Skipf("%s is not setuid root: users cannot mount here", helper)
	}
	if info, err := os.Stat("/dev/fuse"); err != nil || info.Mode()&0o006 != 0o006 {
		runWithOpenDevice(t)
		return
	}
	const nobody = 65534
	dir, raw := sampleStore(t)
	mustNot(t, os.Chmod(filepath.Join(dir, "snap", "mem_file"+imageSuffix), 0o444))
	writeFile(t, filepath.Join(dir, "snap", "private"), []byte("secret"))
	mustNot(t, os.Chmod(filepath.Join(dir, "snap", "private"), 0o600))
	// Directories that tests get are closed to others.
	base := t.TempDir()
	point := filepath.Join(base, "point")
	mustNot(t, errors.Join(os.Chmod(filepath.Dir(base), 0o755), os.Mkdir(point, 0o755), os.Chown(point, nobody, nobody)))
	moved := filepath.Join(base, "store")
	mustNot(t, exec.Command("cp", "-a", dir, moved).Run())
	mustNot(t, os.Chmod(moved, 0o755))
	binary := filepath.Join(base, "server")
	self, err := os.Executable()
	mustNot(t, err)
	mustNot(t, exec.Command("cp", self, binary).Run())

	m := mountStore(t, moved, func(a *mountArg, cmd *exec.Cmd) {
		a.MountPoint = point
		cmd.Path = binary
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	})
	asNobody := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	got, err := asNobody("cat", m.file("snap/mem_file")).Output()
	mustNot(t, err)
	wantEqual(t, "content", got, raw)
	if out, err := asNobody("cat", m.file("snap/private")).CombinedOutput(); err == nil {
		t.Errorf("read %q of a file that only root may read", out)
	}
}

// runWithOpenDevice runs the test in a mount namespace of its own, in which
// /dev/fuse is a device that everybody may open.
func runWithOpenDevice(t *testing.T) {
	t.Helper()
	cmd := roleCommand("open-device", t.TempDir())
	cmd.Args = append(cmd.Args, "-test.run=^"+t.Name()+"$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with a device for everybody: %v\n%s", err, out)
	}
}

// openDeviceRole puts the device in place and becomes the test binary again.
func openDeviceRole(dir string) error {
	const fuseDevice = 10<<8 | 229
	device := filepath.Join(dir, "fuse")
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := errors.Join(unix.Mknod(device, unix.S_IFCHR, fuseDevice), os.Chmod(device, 0o666)); err != nil {
		return err
	}
	if err := unix.Mount(device, "/dev/fuse", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := os.Unsetenv(roleEnv); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindController(t *testing.T) {
	unified := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(unified, "cgroup.controllers"), []byte("cpuset cpu io memory\n"), 0o600))
	without := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(without, "cgroup.controllers"), []byte("cpu memory\n"), 0o600))
	const (
		v1Mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/blkio cgroup rw,relatime,blkio 0 0\n"
		v1Groups = "5:cpu:/other\n4:blkio,misc:/jobs/1\n0::/unified\n"
	)
	v2Mount := func(dir string) string { return "short\ncgroup2 " + dir + " cgroup2 rw,nosuid 0 0\n" }
	for name, test := range map[string]struct {
		mounts, groups string
		want           ioController
		err            error
	}{
		"v1":               {v1Mounts, v1Groups, ioController{"/sys/fs/cgroup/blkio", "/jobs/1", false}, nil},
		"v2":               {v2Mount(unified), "0::/user.slice\n", ioController{unified, "/user.slice", true}, nil},
		"both":             {v2Mount(unified) + v1Mounts, v1Groups, ioController{"/sys/fs/cgroup/blkio", "/jobs/1", false}, nil},
		"v2 without io":    {v2Mount(without), "0::/\n", ioController{}, errNoThrottle},
		"v1 without blkio": {"cgroup /x cgroup rw,cpu 0 0\n", v1Groups, ioController{}, errNoThrottle},
		"nothing":          {"", "", ioController{}, errNoThrottle},
	} {
		got, err := findController([]byte(test.mounts), []byte(test.groups))
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, test.want, test.err)
		}
	}
}

// TestGroupFiles: what is written where, in a directory that plays the controller. A
// directory there has no control files by itself, so making a group fails, and leaves
// nothing.
func TestGroupFiles(t *testing.T) {
	root := t.TempDir()
	for _, v2 := range []bool{false, true} {
		_, err := ioController{root: root, home: "/", v2: v2}.makeGroup("8:0", 550e6)
		if err == nil || !strings.Contains(err.Error(), "8:0") {
			t.Errorf("version 2 %v: a group without control files: %v", v2, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	noError(t, os.WriteFile(filepath.Join(root, "cgroup.procs"), nil, 0o600))
	group := &throttle{dir: root, home: root}
	ran := false
	noError(t, group.within(func() error {
		inside, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
		ran = len(inside) > 0
		return err
	}))
	if !ran {
		t.Error("not inside the group")
	}
	wrong := errors.New("wrong")
	if err := group.within(func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v, want the one from inside", err)
	}
	lost := &throttle{dir: root + "/gone", home: root}
	if err := lost.within(func() error { t.Error("ran outside"); return nil }); err == nil {
		t.Error("a group that is gone was entered")
	}
	if err := lost.close(); err != nil {
		t.Errorf("closing what is gone: %v", err)
	}
}

// TestNoThrottle: nil holds nothing and is in nobody's way.
func TestNoThrottle(t *testing.T) {
	var none *throttle
	ran := false
	noError(t, none.within(func() error { ran = true; return nil }))
	noError(t, none.close())
	if !ran {
		t.Error("nothing was done")
	}
}

// TestSlowDisk makes a real one, where the machine lets it: it works, or says why not,
// and in any case nothing is left and this process is where it was.
func TestSlowDisk(t *testing.T) {
	requireMounts(t)
	before, err := os.ReadFile("/proc/self/cgroup")
	noError(t, err)
	dir := workDir(t)
	disk, err := newSlowDisk(t.Context(), dir, 64<<20, 1<<30)
	if err != nil {
		t.Logf("no such disk here: %v", err)
	} else {
		path := filepath.Join(disk.point, "file")
		noError(t, os.WriteFile(path, make([]byte, 8<<20), 0o600))
		rates, err := disk.rates(t.Context(), path)
		if err != nil || strings.Count(rates, "MB/s") != 2 || !strings.Contains(rates, "the first 8 MB") {
			t.Errorf("rates %q, %v", rates, err)
		}
		noError(t, disk.close(t.Context()))
		if _, err := os.Stat(disk.group.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the group is still there: %v", err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("still mounted (%v): %s", err, mounts)
	}
	if after, err := os.ReadFile("/proc/self/cgroup"); err != nil || string(after) != string(before) {
		t.Errorf("the process is in %q (%v), before in %q", after, err, before)
	}
}

func TestDiskOf(t *testing.T) {
	if disk, err := diskOf("/proc"); err == nil {
		t.Errorf("/proc lies on the disk %s", disk)
	}
	if _, err := diskOf(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

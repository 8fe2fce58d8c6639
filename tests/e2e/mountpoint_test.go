package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mountStore mounts the store for the duration of the test.
func mountStore(t *testing.T, storeDir string, options ...string) (mountPoint string) {
	t.Helper()
	mountPoint, err := os.MkdirTemp(workDir, "mnt-"+t.Name()+"-") //nolint:usetesting // removed when nothing is mounted there any more
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { forceUnmount(t, mountPoint) })
	arguments := slices.Concat([]string{"mount"}, options, []string{storeDir, mountPoint})
	if err := runDetaching(t, arguments); err != nil {
		t.Fatal(err)
	}
	return mountPoint
}

// runDetaching runs a sabrefs command that leaves a daemon behind. Its output
// goes to a file: the end of a pipe would come only with the daemon's end.
func runDetaching(t *testing.T, arguments []string) error {
	t.Helper()
	logPath := filepath.Join(t.TempDir(), "mount.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	command := exec.CommandContext(deadlineContext(t), binaryPath(), arguments...)
	command.Stdout, command.Stderr = log, log
	err = errors.Join(command.Run(), log.Close())
	if err != nil {
		said, _ := os.ReadFile(logPath)
		return fmt.Errorf("sabrefs %s: %w: %s", strings.Join(arguments, " "), err, said)
	}
	return nil
}

// forceUnmount leaves neither mount nor daemon, whatever state the test was
// left in. Only the first, civil attempt may fail unnoticed.
func forceUnmount(t *testing.T, mountPoint string) {
	t.Helper()
	if isMounted(t, mountPoint) && exec.Command(binaryPath(), "umount", mountPoint).Run() != nil {
		if output, err := exec.Command("umount", "-l", mountPoint).CombinedOutput(); err != nil {
			t.Errorf("umount -l %s: %v: %s", mountPoint, err, output)
		}
	}
	pids, err := daemonPIDs()
	if err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("end daemon %d: %v", pid, err)
		}
	}
	waitDaemonsGone(t)
	if err := os.Remove(mountPoint); err != nil {
		t.Error(err)
	}
}

// waitDaemonsGone waits, within a generous limit, for daemons that have been told
// to end: that they do is asserted, not when.
func waitDaemonsGone(t *testing.T) {
	t.Helper()
	const limit, interval = 30 * time.Second, 10 * time.Millisecond
	for waited := time.Duration(0); ; waited += interval {
		pids, err := daemonPIDs()
		if err != nil {
			t.Error(err)
			return
		}
		if len(pids) == 0 {
			return
		}
		if waited >= limit {
			t.Errorf("processes %v of sabrefs do not end", pids)
			return
		}
		time.Sleep(interval)
	}
}

func isMounted(t *testing.T, mountPoint string) bool {
	t.Helper()
	mounts, err := mountPointsUnder(mountPoint)
	if err != nil {
		t.Fatal(err)
	}
	return len(mounts) > 0
}

// mountPointsUnder lists what is mounted at dir or below it. It asks the table of
// mounts: a file operation could wait forever for a daemon that is gone.
func mountPointsUnder(dir string) ([]string, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var found []string
	for lines := bufio.NewScanner(table); lines.Scan(); {
		const mountPointField = 4
		fields := strings.Fields(lines.Text())
		if len(fields) <= mountPointField {
			return nil, fmt.Errorf("mountinfo: cannot parse %q", lines.Text())
		}
		point := fields[mountPointField]
		if point == dir || strings.HasPrefix(point, dir+"/") {
			found = append(found, point)
		}
	}
	return found, nil
}

// daemonPIDs lists the processes that run this test run's binary. Its path is
// unlike that of any other, so none but ours are found.
func daemonPIDs() ([]int, error) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, link := range links {
		program, err := os.Readlink(link)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // A process that has ended meanwhile, or one of the kernel.
		}
		if errors.Is(err, fs.ErrPermission) {
			continue // Not ours: one that even root may not look into, as in a container.
		}
		if err != nil {
			return nil, err
		}
		if program != binaryPath() {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

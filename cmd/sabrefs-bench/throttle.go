package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNoThrottle is returned when the machine has no controller that can hold reads
// of a disk.
var errNoThrottle = errors.New("reads cannot be held here: no cgroup v1 blkio controller and no cgroup v2 io controller")

// throttle is a control group in which reads of one disk are held to a rate. Reads
// are charged to the process that submits them, also where it is the kernel's
// read-ahead, so whoever reads must be started inside: the daemon, the driver, QEMU.
type throttle struct {
	dir  string // of the group, new
	home string // of the group that this process comes from
}

// newThrottle holds reads of the disk on which path lies. A nil *throttle holds
// nothing.
func newThrottle(path string, bytesPerSecond int64) (*throttle, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	disk, err := diskOf(path)
	if err != nil {
		return nil, err
	}
	controller, err := findController(mounts, groups)
	if err != nil {
		return nil, err
	}
	return controller.makeGroup(disk, bytesPerSecond)
}

// ioController is a mounted controller of block devices.
type ioController struct {
	root string // where it is mounted
	home string // the group of this process, as a path below root
	v2   bool
}

// findController looks through /proc/mounts and /proc/self/cgroup. The older
// controller goes first: where both are mounted, it is the one that has the disks.
func findController(mounts, groups []byte) (ioController, error) {
	var v2 *ioController
	for lines := bufio.NewScanner(bytes.NewReader(mounts)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		root, kind, options := fields[1], fields[2], strings.Split(fields[3], ",")
		if kind == "cgroup" && slices.Contains(options, "blkio") {
			return ioController{root: root, home: groupPath(groups, "blkio")}, nil
		}
		if kind == "cgroup2" && hasIO(root) {
			v2 = &ioController{root: root, home: groupPath(groups, ""), v2: true}
		}
	}
	if v2 == nil {
		return ioController{}, errNoThrottle
	}
	return *v2, nil
}

func hasIO(root string) bool {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(controllers)), "io")
}

// groupPath finds this process's group in the text of /proc/self/cgroup: lines of
// number:controllers:path, without controllers for version 2.
func groupPath(groups []byte, controller string) string {
	for lines := bufio.NewScanner(bytes.NewReader(groups)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), controller) {
			return fields[2]
		}
	}
	return "/"
}

// groupPattern is where groups of this program are made. They are at the root,
// because a group of version 2 that has processes cannot have controlled children.
const groupPattern = "sabrefs-bench-"

func (c ioController) makeGroup(disk string, bytesPerSecond int64) (*throttle, error) {
	if c.v2 {
		// Refused where it is not allowed; the write of io.max then says so.
		_ = writeControl(c.root, "cgroup.subtree_control", "+io")
	}
	dir, err := os.MkdirTemp(c.root, groupPattern)
	if err != nil {
		return nil, fmt.Errorf("making a control group: %w", err)
	}
	t := &throttle{dir: dir, home: filepath.Join(c.root, c.home)}
	rate := strconv.FormatInt(bytesPerSecond, 10)
	if c.v2 {
		err = writeControl(dir, "io.max", disk+" rbps="+rate)
	} else {
		err = writeControl(dir, "blkio.throttle.read_bps_device", disk+" "+rate)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("holding reads of disk %s: %w", disk, err), t.close())
	}
	return t, nil
}

func writeControl(dir, name, text string) error {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// within runs do with this process, and all that it starts, inside the group.
func (t *throttle) within(do func() error) (err error) {
	if t == nil {
		return do()
	}
	self := strconv.Itoa(os.Getpid())
	if err := writeControl(t.dir, "cgroup.procs", self); err != nil {
		return fmt.Errorf("entering the control group: %w", err)
	}
	defer func() {
		if leaveErr := writeControl(t.home, "cgroup.procs", self); leaveErr != nil {
			err = errors.Join(err, fmt.Errorf("leaving the control group: %w", leaveErr))
		}
	}()
	return do()
}

// close removes the group. A daemon that has been told to end may need a moment.
func (t *throttle) close() error {
	if t == nil {
		return nil
	}
	const attempts, pause = 50, 100 * time.Millisecond
	err := removeIfThere(t.dir)
	for i := 0; errors.Is(err, unix.EBUSY) && i < attempts; i++ {
		time.Sleep(pause)
		err = removeIfThere(t.dir)
	}
	if err != nil {
		return fmt.Errorf("removing the control group: %w", err)
	}
	return nil
}

// diskOf returns the major:minor of the disk that holds path. Rates are set for
// whole disks, never for partitions.
func diskOf(path string) (string, error) {
	var status unix.Stat_t
	if err := unix.Stat(path, &status); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(status.Dev), unix.Minor(status.Dev))
	device, err := filepath.EvalSymlinks(filepath.Join("/sys/dev/block", number))
	if err != nil {
		return "", fmt.Errorf("%s does not lie on a disk whose reads could be held: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(device, "partition")); err != nil {
		return number, nil //nolint:nilerr // a whole disk
	}
	disk, err := os.ReadFile(filepath.Join(filepath.Dir(device), "dev"))
	if err != nil {
		return "", fmt.Errorf("finding the disk of partition %s: %w", number, err)
	}
	return strings.TrimSpace(string(disk)), nil
}

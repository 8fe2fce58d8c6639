package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// slowDisk is a filesystem whose reads are held to a rate: on a loop device over a
// file, so that the rate is held evenly. The kernel lets through what the rate allows
// in a slice of time, and then nothing until the next: a slice has 100 ms on a disk
// that says it rotates, as virtual ones often do, and all of a working set would pass
// unhindered in the first. A loop device can be told that it does not rotate before it
// is first throttled, and its slices are then 20 ms.
type slowDisk struct {
	point string // where it is mounted
	file  string
	loop  string
	group *throttle
}

// newSlowDisk makes one in dir. Its file is read with O_DIRECT, so that nothing of it
// is cached twice.
func newSlowDisk(ctx context.Context, dir string, sizeBytes, bytesPerSecond int64) (d *slowDisk, err error) {
	d = &slowDisk{point: filepath.Join(dir, "disk"), file: filepath.Join(dir, "disk.img")}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("a disk held to a rate: %w", err), d.close(ctx))
		}
	}()
	if err := os.Mkdir(d.point, 0o755); err != nil {
		return d, err
	}
	if _, err := runTool(ctx, "fallocate", "-l", strconv.FormatInt(sizeBytes, 10), d.file); err != nil {
		return d, err
	}
	if _, err := runTool(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file); err != nil {
		return d, err
	}
	loop, err := runTool(ctx, "losetup", "--find", "--show", "--direct-io=on", d.file)
	if err != nil {
		return d, err
	}
	d.loop = strings.TrimSpace(string(loop))
	if err := writeControl(filepath.Join("/sys/block", filepath.Base(d.loop), "queue"), "rotational", "0"); err != nil {
		return d, err
	}
	if _, err := runTool(ctx, "mount", "-t", "ext4", "-o", "noatime", d.loop, d.point); err != nil {
		return d, err
	}
	d.group, err = newThrottle(d.point, bytesPerSecond)
	return d, err
}

// close takes away what there is of it.
func (d *slowDisk) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	errs := []error{d.group.close()}
	if mounted, err := isMounted(d.point); err != nil || mounted {
		_, umountErr := runTool(ctx, "umount", d.point)
		errs = append(errs, err, umountErr)
	}
	if d.loop != "" {
		_, err := runTool(ctx, "losetup", "--detach", d.loop)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, removeIfThere(d.file), removeIfThere(d.point))...)
}

func isMounted(point string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " "+point+" "), err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// rates says how fast a file on the disk is read inside the group: read(2) and
// O_DIRECT, and how long the first megabytes take after a pause, which is what a cold
// start sees of the rate.
func (d *slowDisk) rates(ctx context.Context, path string) (string, error) {
	const (
		firstBytes = 40_000_000
		pause      = time.Second
	)
	var said []string
	for _, mode := range []string{readBuffered, readDirect} {
		whole, err := d.timedRead(ctx, mode, path)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%s reads reach %.0f MB/s", mode, float64(whole.Bytes)/1e6/whole.Seconds))
	}
	time.Sleep(pause)
	first, err := d.timedRead(ctx, readDirect, path, strconv.Itoa(firstBytes))
	if err != nil {
		return "", err
	}
	said = append(said, fmt.Sprintf("the first %.0f MB after a pause take %.0f ms", float64(first.Bytes)/1e6, first.Seconds*1e3))
	return strings.Join(said, ", "), nil
}

func (d *slowDisk) timedRead(ctx context.Context, args ...string) (report touchReport, err error) {
	if err := dropCaches(ctx, args[1]); err != nil {
		return report, err
	}
	err = d.group.within(func() error {
		report, err = runTouch(ctx, nil, args...)
		return err
	})
	return report, err
}

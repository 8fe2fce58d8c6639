package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// slowDisk is a filesystem whose reads are held to a rate: ext4 on a loop device, over
// a file of a FUSE mount that answers each read when a disk of that rate would have. It
// is no control group (blkio, io.max), because those let through at once what the rate
// allows in 100 ms, which is more than a working set has.
type slowDisk struct {
	point string // where it is mounted
	dir   string // of what is below
	loop  string
	serve *exec.Cmd
	input io.Closer // of serve, which ends with it
}

func (d *slowDisk) file() string    { return filepath.Join(d.dir, "disk.img") }
func (d *slowDisk) backing() string { return filepath.Join(d.dir, "backing") }

// newSlowDisk makes one in dir.
func newSlowDisk(ctx context.Context, dir string, sizeBytes, bytesPerSecond int64) (d *slowDisk, err error) {
	d = &slowDisk{point: filepath.Join(dir, "disk"), dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("a disk held to a rate: %w", err), d.close(ctx))
		}
	}()
	for _, point := range []string{d.point, d.backing()} {
		if err := os.Mkdir(point, 0o755); err != nil {
			return d, err
		}
	}
	if _, err := runTool(ctx, "fallocate", "-l", strconv.FormatInt(sizeBytes, 10), d.file()); err != nil {
		return d, err
	}
	if _, err := runTool(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file()); err != nil {
		return d, err
	}
	if err := d.startServer(ctx, bytesPerSecond); err != nil {
		return d, err
	}
	// O_DIRECT, so that nothing is cached twice
	loop, err := runTool(ctx, "losetup", "--find", "--show", "--direct-io=on", filepath.Join(d.backing(), slowFileName))
	if err != nil {
		return d, err
	}
	d.loop = strings.TrimSpace(string(loop))
	_, err = runTool(ctx, "mount", "-t", "ext4", "-o", "noatime", d.loop, d.point)
	return d, err
}

// startServer returns when the file is there.
func (d *slowDisk) startServer(ctx context.Context, bytesPerSecond int64) error {
	// It must outlive an interrupt, for what is mounted on it to be unmounted.
	d.serve = exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", "slow-disk", d.file(), d.backing(), strconv.FormatInt(bytesPerSecond, 10))
	d.serve.Stderr = os.Stderr
	d.serve.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // nor does it get one from a terminal
	input, err := d.serve.StdinPipe()
	if err != nil {
		return err
	}
	output, err := d.serve.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.serve.Start(); err != nil {
		return err
	}
	d.input = input
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil || line != "ready\n" {
		return errors.Join(fmt.Errorf("the process behind it says %q", line), err)
	}
	return nil
}

// close takes away what there is of it.
func (d *slowDisk) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if mounted, err := isMounted(d.point); err != nil || mounted {
		_, umountErr := runTool(ctx, "umount", d.point)
		errs = append(errs, err, umountErr)
	}
	if d.loop != "" {
		_, err := runTool(ctx, "losetup", "--detach", d.loop)
		errs = append(errs, err)
	}
	if d.input != nil {
		errs = append(errs, d.input.Close(), d.serve.Wait())
	}
	for _, path := range []string{d.file(), d.point, d.backing()} {
		errs = append(errs, removeIfThere(path))
	}
	return errors.Join(errs...)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func isMounted(point string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " "+point+" "), err
}

// rates says how fast a file on the disk is read: read(2) and O_DIRECT, and how long
// the first megabytes take after a pause, which is what a cold start sees.
func (d *slowDisk) rates(ctx context.Context, path string) (string, error) {
	const (
		firstBytes = 40_000_000
		pause      = time.Second
	)
	var said []string
	for _, mode := range []string{readBuffered, readDirect} {
		whole, err := coldRead(ctx, mode, path)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%s reads reach %.0f MB/s", mode, float64(whole.Bytes)/1e6/whole.Seconds))
	}
	time.Sleep(pause)
	first, err := coldRead(ctx, readDirect, path, strconv.Itoa(firstBytes))
	if err != nil {
		return "", err
	}
	said = append(said, fmt.Sprintf("the first %.0f MB after a pause take %.0f ms", float64(first.Bytes)/1e6, first.Seconds*1e3))
	return strings.Join(said, ", "), nil
}

func coldRead(ctx context.Context, mode, path string, rest ...string) (touchReport, error) {
	if err := dropCaches(ctx, path); err != nil {
		return touchReport{}, err
	}
	return runTouch(ctx, nil, append([]string{mode, path}, rest...)...)
}

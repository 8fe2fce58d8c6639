package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sabrefs/cmd/sabrefs-bench/functions"
	"sabrefs/cmd/sabrefs-bench/qemu"
)

// coldstart is one run of the command of that name.
type coldstart struct {
	flags     coldstartFlags
	log       io.Writer
	sabrefs   sabrefsBinary
	functions []functions.Function
	guests    map[string]*coldGuest
	parent    *coldGuest // nil if there is none; one of the guests
	dir       string     // for everything below
	driver    restoreDriver
	disk      *slowDisk // nil if reads are not held
}

// coldGuest is a guest that is started cold. Its memory lies in the work directory,
// raw and packed, so that all sides read from one disk.
type coldGuest struct {
	name     string
	snapshot qemu.Snapshot
	machine  qemu.Config
}

func newColdstart(flags coldstartFlags, log io.Writer) (*coldstart, error) {
	if err := flags.check(); err != nil {
		return nil, err
	}
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return nil, err
	}
	c := &coldstart{flags: flags, log: log, sabrefs: sabrefs, guests: map[string]*coldGuest{}}
	var names []string
	for _, argument := range flags.guests {
		guest, err := openGuest(argument)
		if err != nil {
			return nil, err
		}
		c.guests[guest.name] = guest
		names = append(names, guest.name)
	}
	if flags.parent != "" {
		if c.parent, err = openGuest(parentName + "=" + flags.parent); err != nil {
			return nil, err
		}
		c.guests[parentName] = c.parent
	}
	c.functions, err = functions.Choose(flags.functions, names)
	if err == nil && len(c.functions) == 0 {
		err = fmt.Errorf("no function runs in the guests %s", strings.Join(names, ", "))
	}
	return c, err
}

// openGuest reads an argument of --guest: [NAME=]SNAPSHOT_DIR.
func openGuest(argument string) (*coldGuest, error) {
	name, dir, named := strings.Cut(argument, "=")
	if !named || strings.Contains(name, "/") {
		name, dir = filepath.Base(filepath.Clean(argument)), argument
	}
	snapshot := qemu.Snapshot{Dir: dir}
	machine, err := snapshot.Config()
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", name, err)
	}
	info, err := os.Stat(snapshot.MemPath())
	if err == nil && info.Size() != machine.MemoryBytes {
		err = fmt.Errorf("%s has %d bytes, the machine %d", snapshot.MemPath(), info.Size(), machine.MemoryBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", name, err)
	}
	return &coldGuest{name: name, snapshot: snapshot, machine: machine}, nil
}

// The files of the work directory. Stores have one directory for each guest.
func (c *coldstart) rawPath(g *coldGuest) string {
	return filepath.Join(c.dir, "raw", g.name, memoryName)
}
func (c *coldstart) plainStore() string   { return filepath.Join(c.dir, "plain") }
func (c *coldstart) laidOutStore() string { return filepath.Join(c.dir, "laidout") }
func (c *coldstart) traceDir() string     { return filepath.Join(c.dir, "traces") }
func (c *coldstart) setPath() string      { return filepath.Join(c.dir, "set") }
func (c *coldstart) pagesPath() string    { return filepath.Join(c.dir, "pages") }
func (c *coldstart) point() string        { return filepath.Join(c.dir, "mnt") }
func (c *coldstart) mountedPath(g *coldGuest) string {
	return filepath.Join(c.point(), g.name, memoryName)
}

func (c *coldstart) tracePath(g *coldGuest) string {
	return filepath.Join(c.traceDir(), g.name, memoryName+traceSuffix)
}

func imageIn(store string, g *coldGuest) string {
	return filepath.Join(store, g.name, memoryName+".sabre")
}

func (c *coldstart) run(ctx context.Context) ([]coldRow, error) {
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	var rows []coldRow
	for i, function := range c.functions {
		fmt.Fprintf(c.log, "function %d of %d: %s\n", i+1, len(c.functions), function.Name)
		row, err := c.measureFunction(ctx, function)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", function.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// prepare makes what all functions share.
func (c *coldstart) prepare(ctx context.Context) (err error) {
	if c.needsDriver() {
		if c.driver, err = buildRestoreDriver(ctx, c.dir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(c.point(), 0o755); err != nil {
		return err
	}
	for _, guest := range c.guests {
		if err := c.prepareGuest(ctx, guest); err != nil {
			return fmt.Errorf("guest %s: %w", guest.name, err)
		}
		if err := c.reportRates(ctx, guest); err != nil {
			return err
		}
	}
	return nil
}

// reportRates shows that the rate is held.
func (c *coldstart) reportRates(ctx context.Context, g *coldGuest) error {
	if c.disk == nil {
		return nil
	}
	rates, err := c.disk.rates(ctx, c.rawPath(g))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.log, "reads held to %d MB/s: %s\n", c.flags.throttle, rates)
	return nil
}

func (c *coldstart) prepareGuest(ctx context.Context, g *coldGuest) error {
	for _, path := range []string{c.rawPath(g), imageIn(c.plainStore(), g), imageIn(c.laidOutStore(), g), c.tracePath(g)} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	if _, err := runTool(ctx, "cp", "--sparse=never", g.snapshot.MemPath(), c.rawPath(g)); err != nil {
		return err
	}
	fmt.Fprintf(c.log, "packing: %s\n", g.name)
	_, err := c.sabrefs.run(ctx, "pack", c.rawPath(g), filepath.Dir(imageIn(c.plainStore(), g)))
	return err
}

// onDisk lets measure work in dir, or on a disk in it that is held to a rate.
func (c *coldstart) onDisk(ctx context.Context, dir string, measure func() error) (err error) {
	c.dir = dir
	if c.flags.throttle == 0 {
		return measure()
	}
	const megabyte, rest = 1_000_000, 256 << 20
	sizeBytes := int64(rest)
	for _, guest := range c.guests { // raw, two images, a working set, two layers or parents
		sizeBytes += 6 * guest.machine.MemoryBytes
	}
	c.disk, err = newSlowDisk(ctx, dir, sizeBytes, int64(c.flags.throttle)*megabyte)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.disk.close(ctx)) }()
	c.dir = c.disk.point
	return measure()
}

// warmPrograms brings back to the page cache what every cold start needs and none is
// measured by: QEMU with its ROMs, the shell and cat that hand it the state, the
// state, and sabrefs.
func (c *coldstart) warmPrograms(ctx context.Context, g *coldGuest) error {
	if err := qemu.WarmUp(ctx, g.machine); err != nil {
		return fmt.Errorf("warming QEMU: %w", err)
	}
	if _, err := runTool(ctx, "/bin/sh", "-c", `exec cat "$@" >/dev/null`, "sh", string(c.sabrefs), g.snapshot.StatePath()); err != nil {
		return err
	}
	if c.driver == "" {
		return nil
	}
	_, err := runTool(ctx, "cat", string(c.driver))
	return err
}

// coldTimes are the phases of one cold start.
type coldTimes struct {
	qemu  qemu.Timings
	total time.Duration // from starting QEMU until the last answer
}

// afterStart is without QEMU's own start.
func (t coldTimes) afterStart() time.Duration { return t.total - t.qemu.QEMUStart }

// startGuest resumes the guest, asks the requests and ends it.
func (c *coldstart) startGuest(ctx context.Context, g *coldGuest, memPath string, requests []string) (times coldTimes, answers []qemu.Answer, err error) {
	begin := time.Now()
	vm, err := qemu.Resume(ctx, g.snapshot, memPath)
	if err != nil {
		return times, nil, err
	}
	answers, err = vm.AskAll(ctx, requests)
	times = coldTimes{total: time.Since(begin), qemu: vm.Timings}
	return times, answers, errors.Join(err, vm.Close())
}

// onMount mounts a store, does, and unmounts.
func (c *coldstart) onMount(ctx context.Context, store string, flags []string, do func() error) (err error) {
	args := append([]string{"mount"}, flags...)
	if _, err := c.sabrefs.run(ctx, append(args, store, c.point())...); err != nil {
		return err
	}
	defer func() {
		_, umountErr := c.sabrefs.run(context.WithoutCancel(ctx), "umount", c.point())
		err = errors.Join(err, umountErr)
	}()
	return do()
}

package guest

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
	"time"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/cache"
)

// kernelCommandLine: a ramfs has no size limit below that of the RAM, a tmpfs
// would stop at half of it. A panic ends QEMU (-no-reboot) and so the build.
const kernelCommandLine = "console=ttyS1 quiet rootfstype=ramfs panic=-1 nokaslr tsc=unstable"

// Build is [Kind.Build] of [Python].
func Build(ctx context.Context, log io.Writer) (Snapshot, error) {
	return Python().Build(ctx, log)
}

// Build returns the first snapshot, with the second beside it ([Later]). It makes
// both if they are not in the cache, which takes root, Debian's package tools, a
// network and some minutes; progress goes to log. A build that was interrupted
// leaves nothing that a later call would take for a result.
func (k Kind) Build(ctx context.Context, log io.Writer) (Snapshot, error) {
	target, err := k.Dir()
	if err != nil {
		return Snapshot{}, err
	}
	err = cache.Make(ctx, target, func(dir string) error { return k.buildPartial(ctx, dir, log) })
	if err != nil {
		return Snapshot{}, fmt.Errorf("build the guest %s: %w", k.name, err)
	}
	return Snapshot{Dir: filepath.Join(target, k.name)}, nil
}

func (k Kind) buildPartial(ctx context.Context, dir string, log io.Writer) error {
	steps := progress{log: log, kind: k.name, since: time.Now()}
	bootDir := filepath.Join(dir, "boot")
	if err := k.makeBootFiles(ctx, bootDir, log); err != nil {
		return err
	}
	steps.report("kernel and initramfs built")
	life := guestLife{kind: k, dir: dir, machine: qemu.NewMachine(), livePath: filepath.Join(dir, "live_mem")}
	vm, err := qemu.Boot(ctx, qemu.BootOptions{
		Machine: life.machine, MemPath: life.livePath, CommandLine: kernelCommandLine,
		KernelPath:    filepath.Join(bootDir, "vmlinuz"),
		InitramfsPath: filepath.Join(bootDir, "initramfs.zst"),
		ConsolePath:   filepath.Join(bootDir, "console.log"),
	})
	if err != nil {
		return err
	}
	life.vm = vm
	err = life.snapshotTwice(ctx, steps)
	return errors.Join(err, vm.Close(), os.Remove(life.livePath))
}

// makeBootFiles runs the recipe from the copy in this program, so that it is
// the one that the cache's key stands for, wherever the program was started.
func (k Kind) makeBootFiles(ctx context.Context, bootDir string, log io.Writer) error {
	recipeDir := filepath.Join(bootDir, "recipe")
	if err := os.MkdirAll(recipeDir, 0o755); err != nil {
		return err
	}
	scriptPath := filepath.Join(recipeDir, "build.sh")
	err := errors.Join(
		os.WriteFile(scriptPath, buildScript, 0o755),
		os.WriteFile(filepath.Join(recipeDir, k.programName), k.program, 0o644))
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "/bin/sh", scriptPath, bootDir, strings.Join(k.packages, ","), k.programName, k.command)
	command.Stdout, command.Stderr = log, log
	// The shell removes its work directory once the tools that it waits for have
	// ended too, so the request goes to the whole group.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	if err := command.Run(); err != nil {
		return fmt.Errorf("build.sh: %w", err)
	}
	return nil
}

// guestLife is a live guest between its snapshots.
type guestLife struct {
	kind     Kind
	vm       *qemu.VM
	machine  qemu.Config
	dir      string // of the snapshots
	livePath string // the guest's RAM
}

func (l *guestLife) snapshotTwice(ctx context.Context, steps progress) error {
	steps.report("guest booted")
	if _, err := l.vm.AskAll(ctx, l.kind.warmUp); err != nil {
		return err
	}
	first := Snapshot{Dir: filepath.Join(l.dir, l.kind.name)}
	if err := l.snapshot(ctx, first); err != nil {
		return err
	}
	steps.report("first snapshot taken")
	if _, err := l.vm.AskAll(ctx, l.kind.later); err != nil {
		return err
	}
	if err := l.snapshot(ctx, Later(first)); err != nil {
		return err
	}
	steps.report("second snapshot taken")
	return nil
}

// snapshot halts the guest, saves it, and lets it run on to record its answers.
func (l *guestLife) snapshot(ctx context.Context, snapshot Snapshot) error {
	if err := os.Mkdir(snapshot.Dir, 0o755); err != nil {
		return err
	}
	if err := l.vm.Save(ctx, snapshot, l.machine, l.livePath); err != nil {
		return fmt.Errorf("snapshot %s: %w", filepath.Base(snapshot.Dir), err)
	}
	if err := l.vm.Continue(ctx); err != nil {
		return err
	}
	answers, err := l.vm.AskAll(ctx, l.kind.compared)
	if err != nil {
		return err
	}
	return snapshot.WriteAnswers(answers)
}

// progress reports the steps of a build with the seconds since its beginning.
type progress struct {
	log   io.Writer
	kind  string
	since time.Time
}

func (p progress) report(message string) {
	fmt.Fprintf(p.log, "guest %s: %5.1f s: %s\n", p.kind, time.Since(p.since).Seconds(), message)
}

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// kernelCommandLine: a ramfs has no size limit below that of the RAM, a tmpfs
// would stop at half of it. A panic ends QEMU (-no-reboot) and so the build.
const kernelCommandLine = "console=ttyS1 quiet rootfstype=ramfs panic=-1 nokaslr tsc=unstable"

// bootTimeout bounds the boot and the server's start, 20 s under TCG on a 2024
// processor; a guest that hangs must not hang the tests.
const bootTimeout = 10 * time.Minute

// Build returns the first snapshot, with the second beside it ([Snapshot.Later]).
// It makes both if they are not in the cache, which takes root, Debian's package
// tools, a network and some minutes; progress goes to log. A build that was
// interrupted leaves nothing that a later call would take for a result.
func Build(ctx context.Context, log io.Writer) (Snapshot, error) {
	target, err := Dir()
	if err != nil {
		return Snapshot{}, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return Snapshot{}, fmt.Errorf("make the cache: %w", err)
	}
	lock, err := lockFile(ctx, target+".lock")
	if err != nil {
		return Snapshot{}, fmt.Errorf("build the guest: %w", err)
	}
	defer lock.Close()
	result := Snapshot{Dir: filepath.Join(target, firstSnapshotName)}
	if _, err := os.Stat(target); err == nil {
		return result, nil
	}
	err = makeWhole(target, func(dir string) error { return buildPartial(ctx, dir, log) })
	if err != nil {
		return Snapshot{}, fmt.Errorf("build the guest: %w", err)
	}
	return result, nil
}

// makeWhole lets build fill a directory of another name and renames it to target
// when it is complete. The caller holds the lock, so a directory of that other
// name is a dead build's.
func makeWhole(target string, build func(dir string) error) error {
	partial := target + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	err := build(partial)
	if err == nil {
		err = os.Rename(partial, target)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return nil
}

func buildPartial(ctx context.Context, dir string, log io.Writer) error {
	steps := progress{log: log, since: time.Now()}
	bootDir := filepath.Join(dir, "boot")
	if err := makeBootFiles(ctx, bootDir, log); err != nil {
		return err
	}
	steps.report("kernel and initramfs built")
	livePath := filepath.Join(dir, "live_mem")
	vm, err := boot(ctx, bootDir, livePath)
	if err != nil {
		return err
	}
	err = snapshotTwice(ctx, vm, dir, livePath, steps)
	return errors.Join(err, vm.Close(), os.Remove(livePath))
}

// makeBootFiles runs the recipe from the copy in this program, so that it is
// the one that the cache's key stands for, wherever the program was started.
func makeBootFiles(ctx context.Context, bootDir string, log io.Writer) error {
	recipeDir := filepath.Join(bootDir, "recipe")
	if err := os.MkdirAll(recipeDir, 0o755); err != nil {
		return err
	}
	scriptPath := filepath.Join(recipeDir, "build.sh")
	err := errors.Join(
		os.WriteFile(scriptPath, buildScript, 0o755),
		os.WriteFile(filepath.Join(recipeDir, "server.py"), serverProgram, 0o644))
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "/bin/sh", scriptPath, bootDir)
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

// boot starts the guest with livePath as its RAM and returns once it serves.
func boot(ctx context.Context, bootDir, livePath string) (*VM, error) {
	consolePath := filepath.Join(bootDir, "console.log")
	arguments := append(
		qemuArguments(machineConfig(), memory{path: livePath, shared: true}, "file:"+consolePath),
		"-kernel", filepath.Join(bootDir, "vmlinuz"),
		"-initrd", filepath.Join(bootDir, "initramfs.zst"),
		"-append", kernelCommandLine)
	vm, err := start(ctx, arguments)
	if err != nil {
		return nil, err
	}
	if err := vm.waitReady(ctx); err != nil {
		err = fmt.Errorf("boot the guest: %w; its console says: %s", err, tailOf(consolePath))
		return nil, vm.abandon(err)
	}
	return vm, nil
}

func (vm *VM) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := vm.letRun(ctx); err != nil {
		return err
	}
	defer interruptOnDone(ctx, vm.serial)()
	line, err := vm.readLine(ctx)
	if err == nil && line != "READY" {
		err = fmt.Errorf("the guest says %q in place of READY", line)
	}
	return err
}

// tailOf is the end of a log for an error message, or why there is none.
func tailOf(path string) string {
	const shownBytes = 2000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-shownBytes):])
}

func snapshotTwice(ctx context.Context, vm *VM, dir, livePath string, steps progress) error {
	steps.report("guest booted")
	if err := vm.askAll(ctx, warmUpRequests); err != nil {
		return err
	}
	first := Snapshot{Dir: filepath.Join(dir, firstSnapshotName)}
	if err := vm.snapshot(ctx, first, livePath); err != nil {
		return err
	}
	steps.report("first snapshot taken")
	if err := vm.askAll(ctx, laterRequests); err != nil {
		return err
	}
	if err := vm.snapshot(ctx, first.Later(), livePath); err != nil {
		return err
	}
	steps.report("second snapshot taken")
	return nil
}

// snapshot halts the guest, saves it, and lets it run on to record its answers.
func (vm *VM) snapshot(ctx context.Context, snapshot Snapshot, livePath string) error {
	if err := os.Mkdir(snapshot.Dir, 0o755); err != nil {
		return err
	}
	if err := vm.save(ctx, snapshot, livePath); err != nil {
		return fmt.Errorf("snapshot %s: %w", filepath.Base(snapshot.Dir), err)
	}
	if err := vm.letRun(ctx); err != nil {
		return err
	}
	answers, err := vm.collectAnswers(ctx, comparedRequests)
	if err != nil {
		return err
	}
	return errors.Join(
		writeJSON(snapshot.AnswersPath(), answers),
		writeJSON(snapshot.ConfigPath(), machineConfig()))
}

// save leaves the guest halted. The RAM is copied, since the guest goes on in
// the original.
func (vm *VM) save(ctx context.Context, snapshot Snapshot, livePath string) error {
	if _, err := vm.monitor.Execute(ctx, "stop", nil); err != nil {
		return err
	}
	if err := vm.ignoreSharedMemory(ctx); err != nil {
		return err
	}
	_, err := vm.monitor.Execute(ctx, "migrate",
		map[string]string{"uri": "exec:cat > " + shellWord(snapshot.StatePath())})
	if err != nil {
		return err
	}
	if err := vm.waitMigrated(ctx); err != nil {
		return err
	}
	return copyFile(snapshot.MemPath(), livePath)
}

func copyFile(targetPath, sourcePath string) (err error) {
	source, err := os.Open(sourcePath)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(targetPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}

// progress reports the steps of a build with the seconds since its beginning.
type progress struct {
	log   io.Writer
	since time.Time
}

func (p progress) report(message string) {
	fmt.Fprintf(p.log, "guest: %5.1f s: %s\n", time.Since(p.since).Seconds(), message)
}

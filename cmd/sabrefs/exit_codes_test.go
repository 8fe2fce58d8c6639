package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// provocations has, for each exit code, something that a user can do to get it.
var provocations = map[int]func(t *testing.T){
	exitOK:          provokeNothing,
	exitFailure:     provokeFailure,
	exitUsage:       provokeUsage,
	exitDamaged:     provokeByImage(exitDamaged, "header flipped"),
	exitUnsupported: provokeByImage(exitUnsupported, "newer version"),
	exitExists:      provokeExists,
	exitBusy:        provokeBusy,
	exitNoSpace:     provokeNoSpace,
	exitChanged:     provokeChanged,
	exitParent:      provokeByImage(exitParent, "without its parent"),
	exitNotFound:    provokeNotFound,
	exitPermission:  provokePermission,
	exitNotReady:    provokeNotReady,
	exitNeeded:      provokeNeeded,
	exitInterrupted: provokeInterrupted,
}

func TestEveryExitCode(t *testing.T) {
	for name, code := range codeConstants(t) {
		t.Run(name, func(t *testing.T) {
			provoke, ok := provocations[code]
			if _, withKVM := provocationsWithKVM[code]; withKVM && !ok {
				return // by TestKVMExitCodes
			}
			if !ok {
				t.Fatalf("no test provokes exit code %d", code)
			}
			provoke(t)
		})
	}
}

// codeConstants returns the exit codes of exit_codes.go by their names.
func codeConstants(t *testing.T) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit_codes.go", nil, 0)
	noError(t, err)
	codes := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return true
		}
		value, ok := spec.Values[0].(*ast.BasicLit)
		if ok && value.Kind == token.INT {
			codes[spec.Names[0].Name], err = strconv.Atoi(value.Value)
			noError(t, err)
		}
		return true
	})
	if len(codes) < 10 {
		t.Fatalf("found only %v in exit_codes.go", codes)
	}
	return codes
}

// TestExitCodesAreDocumented compares the constants, the help text and the
// table of the manual for operators.
func TestExitCodesAreDocumented(t *testing.T) {
	inHelp := meanings(t, exitCodesHelp, regexp.MustCompile(`(?m)^  (\d+) +(.+)$`))
	inManual := meanings(t, string(readFile(t, "../../docs/OPERATIONS.md")), regexp.MustCompile(`(?m)^\| (\d+) \| (.+) \|$`))
	codes := slices.Sorted(maps.Values(codeConstants(t)))
	if got := slices.Sorted(maps.Keys(inHelp)); !slices.Equal(got, codes) {
		t.Errorf("the help has the codes %v, want %v", got, codes)
	}
	if !maps.Equal(inHelp, inManual) {
		t.Errorf("docs/OPERATIONS.md says\n%v\nand the help\n%v", inManual, inHelp)
	}
}

func meanings(t *testing.T, text string, row *regexp.Regexp) map[int]string {
	t.Helper()
	found := map[int]string{}
	for _, match := range row.FindAllStringSubmatch(text, -1) {
		code, err := strconv.Atoi(match[1])
		noError(t, err)
		found[code] = strings.ReplaceAll(match[2], "`", "")
	}
	return found
}

func provokeFailure(t *testing.T) {
	t.Helper()
	file := writeFile(t, filepath.Join(realTempDir(t), "file"), nil)
	refused(t, exitFailure, []string{"verify", file + "/below"}, file+"/below", "not a directory")
}

func provokeNothing(t *testing.T) {
	t.Helper()
	sabrefs(t, "version")
}

func provokeUsage(t *testing.T) {
	t.Helper()
	refused(t, exitUsage, []string{"pack"}, "sabrefs pack SRC DST")
}

func provokeNotFound(t *testing.T) {
	t.Helper()
	refused(t, exitNotFound, []string{"verify", "/nonexistent/x"}, "/nonexistent/x")
}

func provokeNeeded(t *testing.T) {
	t.Helper()
	f := newFamily(t)
	refused(t, exitNeeded, []string{"rm", f.dir, "base"}, "v1/mem_file")
	f.wantMemory(t, "v2")
}

func provokeByImage(code int, name string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		image, _ := packedImage(t)
		badImageOf(t, name).spoil(t, image)
		refused(t, code, []string{"verify", image}, image)
	}
}

func badImageOf(t *testing.T, name string) badImage {
	t.Helper()
	for _, bad := range badImages() {
		if bad.name == name {
			return bad
		}
	}
	t.Fatalf("there is no bad image %q", name)
	return badImage{}
}

func provokeExists(t *testing.T) {
	t.Helper()
	image, _ := packedImage(t)
	source := filepath.Join(filepath.Dir(image), "mem_file")
	before := readFile(t, image)
	refused(t, exitExists, []string{"pack", source, image}, image)
	refused(t, exitExists, []string{"unpack", image, source}, source)
	wantContent(t, image, before)
}

// provokeBusy holds the lock that a pack under way holds.
func provokeBusy(t *testing.T) {
	t.Helper()
	dir := realTempDir(t)
	writeSnapshot(t, filepath.Join(dir, "snapshot"))
	target := filepath.Join(dir, "packed")
	staging, err := os.Open(makeDir(t, filepath.Join(dir, ".packed.sabrefs-staging")))
	noError(t, err)
	defer staging.Close()
	noError(t, unix.Flock(int(staging.Fd()), unix.LOCK_EX))
	refused(t, exitBusy, []string{"pack", filepath.Join(dir, "snapshot"), target}, target)
	noError(t, staging.Close())
	sabrefs(t, "pack", filepath.Join(dir, "snapshot"), target) // which clears the leftovers away
	wantNames(t, dir, "packed", "snapshot")
}

func provokeNoSpace(t *testing.T) {
	t.Helper()
	requireFUSE(t)
	disk := realTempDir(t)
	noError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { noError(t, unix.Unmount(disk, 0)) })
	dir := realTempDir(t)
	writeSnapshot(t, filepath.Join(dir, "mem"))
	packed := filepath.Join(dir, "packed")
	sabrefs(t, "pack", filepath.Join(dir, "mem"), packed)
	for _, args := range [][]string{
		{"pack", filepath.Join(dir, "mem", "mem_file"), disk},
		{"pack", filepath.Join(dir, "mem"), filepath.Join(disk, "packed")},
		{"unpack", filepath.Join(packed, "mem_file.sabre"), disk},
		{"unpack", packed, filepath.Join(disk, "mem")},
	} {
		refused(t, exitNoSpace, args, "no space left")
		wantNames(t, disk)
	}
}

// provokeChanged gives the input a new time again and again, as a VM that runs
// would.
func provokeChanged(t *testing.T) {
	t.Helper()
	dir := realTempDir(t)
	source := writeFile(t, filepath.Join(dir, "mem_file"), textMemory(1024))
	cmd := command(t, "pack", "--level", "better", "--workers", "1", source, filepath.Join(dir, "image"))
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- touchUntil(stop, source) }()
	o := finish(t, cmd)
	close(stop)
	noError(t, <-stopped)
	o.check(t, exitChanged, source)
	wantNames(t, dir, "mem_file")
}

func touchUntil(stop <-chan struct{}, path string) error {
	for second := int64(0); ; second++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(second, 0)); err != nil {
			return err
		}
	}
}

// provokePermission runs as a user who may not read the file, or not write to
// the directory.
func provokePermission(t *testing.T) {
	t.Helper()
	dir := publicTempDir(t)
	secret := writeFile(t, filepath.Join(dir, "mem_file"), guestMemory(8))
	image := filepath.Join(dir, "image.sabre")
	sabrefs(t, "pack", secret, image)
	noError(t, os.Chmod(secret, 0))
	noError(t, os.Chmod(dir, 0o555))
	defer func() { noError(t, os.Chmod(dir, 0o755)) }()
	for _, args := range [][]string{
		{"pack", secret, "/dev/shm/sabrefs-test-image"},
		{"unpack", image, filepath.Join(dir, "raw")},
	} {
		cmd := command(t, args...)
		if os.Geteuid() == 0 {
			asNobody(t, cmd)
		}
		finish(t, cmd).check(t, exitPermission, dir, "permission denied")
	}
}

// provokeInterrupted stops packs that have begun: nothing is left.
func provokeInterrupted(t *testing.T) {
	t.Helper()
	dir := realTempDir(t)
	source := filepath.Join(makeDir(t, filepath.Join(dir, "snapshot")), "mem_file")
	writeFile(t, source, textMemory(4096))
	noError(t, os.Truncate(source, 1<<30))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, src := range []string{source, filepath.Dir(source)} {
			t.Run(fmt.Sprintf("%v of %s", sig, filepath.Base(src)), func(t *testing.T) {
				cmd := command(t, "pack", "--level", "best", "--workers", "1", src, filepath.Join(dir, "packed"))
				o := interrupt(t, cmd, source, sig)
				o.check(t, exitInterrupted, "interrupted")
				wantNames(t, dir, "snapshot")
			})
		}
	}
}

// interrupt sends a signal when the command has opened the file.
func interrupt(t *testing.T, cmd *exec.Cmd, opened string, sig syscall.Signal) outcome {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	noError(t, cmd.Start())
	eventually(t, "the command opens its input", func() bool { return hasOpen(cmd.Process.Pid, opened) })
	noError(t, cmd.Process.Signal(sig))
	if err := cmd.Wait(); err != nil {
		if _, failed := errors.AsType[*exec.ExitError](err); !failed {
			t.Fatal(err)
		}
	}
	return outcome{line: strings.Join(cmd.Args, " "), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

func hasOpen(pid int, path string) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err == nil && target == path
	})
}

// TestFirstFindingDecides: of several bad images, the first one in the order of
// names has the exit code, whatever the others are.
func TestFirstFindingDecides(t *testing.T) {
	good, _ := packedImage(t)
	for _, names := range [][2]string{{"newer version", "header flipped"}, {"header flipped", "newer version"}} {
		dir := realTempDir(t)
		var code int
		for i, name := range names {
			image := writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.sabre", i)), readFile(t, good))
			bad := badImageOf(t, name)
			bad.spoil(t, image)
			if i == 0 {
				code = bad.code
			}
		}
		for _, command := range []string{"verify", "ls", "inspect"} {
			refused(t, code, []string{command, dir}, "0.sabre", "1.sabre")
		}
	}
}

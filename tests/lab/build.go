package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sabrefs/tests/lab/early"
)

// Workshop builds what the laboratory needs in a directory of the host.
type Workshop struct {
	Root      string // of the tree
	WorkDir   string
	Downloads Downloads
}

// TreeRoot is the root of the tree that the present directory belongs to.
func TreeRoot(ctx context.Context) (string, error) {
	output, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", "sabrefs")
	return strings.TrimSpace(string(output)), err
}

// goCommand runs the go command for static binaries.
func goCommand(ctx context.Context, dir string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	// A tree that belongs to another user is no reason to fail.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false "+os.Getenv("GOFLAGS"))
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s in %s: %w\n%s", strings.Join(arguments, " "), dir, err, &problems)
	}
	return output, nil
}

// stripped leaves out what only debuggers read, a third of a binary.
const stripped = "-ldflags=-s -w"

// build builds one command of the tree into a directory.
func (w Workshop) build(ctx context.Context, dir, packagePath string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(packagePath))
	_, err = goCommand(ctx, w.Root, "build", stripped, "-o", path, packagePath)
	return path, err
}

// filesDir is what appears inside as [FilesDir].
func (w Workshop) filesDir() string { return filepath.Join(w.WorkDir, "files") }

// shareDir is shared with the machine, which writes its report there.
func (w Workshop) shareDir() string { return filepath.Join(w.WorkDir, "share") }

// MonitorPath is for QEMU's monitor.
func (w Workshop) MonitorPath() string { return filepath.Join(w.WorkDir, "monitor") }

// OpenWorkshop makes the work directory.
func OpenWorkshop(root string, downloads Downloads) (w Workshop, err error) {
	w = Workshop{Root: root, Downloads: downloads}
	if w.WorkDir, err = os.MkdirTemp("", "sabrefs-lab"); err != nil {
		return w, err
	}
	return w, errors.Join(os.Mkdir(w.filesDir(), 0o755), os.Mkdir(w.shareDir(), 0o755))
}

// Close removes the work directory.
func (w Workshop) Close() error { return os.RemoveAll(w.WorkDir) }

// BuildTests compiles the tests whose names begin with TestKVM and match. It is
// an error if there is none. The tests of a package that take longer than timeout
// end with their goroutines' stacks.
func (w Workshop) BuildTests(ctx context.Context, match *regexp.Regexp, timeout time.Duration) ([]TestBinary, error) {
	found, err := findTests(ctx, w.Root, match)
	if err != nil {
		return nil, err
	}
	binaries := make([]TestBinary, len(found))
	// Linking takes longest and one processor.
	links, ctx := errgroup.WithContext(ctx)
	links.SetLimit(runtime.NumCPU())
	for position, p := range found {
		name := fmt.Sprintf("%02d-%s.test", position, filepath.Base(p.Dir))
		binaries[position] = TestBinary{
			Package: p.ImportPath, Dir: p.Dir, Path: filepath.Join(FilesDir, name), Names: p.names, Timeout: timeout,
		}
		links.Go(func() error {
			_, err := goCommand(ctx, p.moduleDir, "test", "-c", stripped, "-o", filepath.Join(w.filesDir(), name), p.ImportPath)
			return err
		})
	}
	return binaries, links.Wait()
}

// BuildFiles makes the files that tests find by [FilesVariable].
func (w Workshop) BuildFiles(ctx context.Context) error {
	if _, err := w.build(ctx, w.filesDir(), "./cmd/"+SabrefsFile); err != nil {
		return err
	}
	return errors.Join(
		w.buildGuest(ctx),
		copyFile(filepath.Join(w.filesDir(), GuestKernelFile), w.Downloads.GuestKernelPath()))
}

func (w Workshop) buildGuest(ctx context.Context) error {
	initPath, err := w.build(ctx, w.WorkDir, "./tests/lab/cmd/guestinit")
	if err != nil {
		return err
	}
	modules, err := w.Downloads.modulePaths(guestKernel)
	if err != nil {
		return err
	}
	archive, err := createInitramfs(filepath.Join(w.filesDir(), GuestInitrdFile))
	if err != nil {
		return err
	}
	return archive.closeWith(errors.Join(
		archive.addHostFile("/init", 0o755, initPath),
		archive.addModules(modules)))
}

// BuildInitramfs makes the laboratory's own initramfs with the plan in it.
func (w Workshop) BuildInitramfs(ctx context.Context, plan Plan) (path string, err error) {
	initPath, err := w.build(ctx, w.WorkDir, "./tests/lab/cmd/labinit")
	if err != nil {
		return "", err
	}
	modules, err := w.Downloads.modulePaths(labKernel)
	if err != nil {
		return "", err
	}
	planText, err := json.Marshal(plan)
	if err != nil {
		return "", err
	}
	path = filepath.Join(w.WorkDir, "lab.cpio")
	archive, err := createInitramfs(path)
	if err != nil {
		return "", err
	}
	return path, archive.closeWith(errors.Join(
		archive.addHostFile("/init", 0o755, initPath),
		archive.addModules(modules),
		archive.addFile(PlanPath, 0o644, planText),
		archive.addHostFile("/bin/busybox", 0o755, w.Downloads.ShellPath()),
		archive.addLink("/bin/sh", "busybox"),
		archive.addHostDir(FilesDir, w.filesDir())))
}

// Tags name the shares between QEMU and the laboratory.
const (
	treeTag  = "tree"
	shareTag = "share"
)

// NewPlan is a plan without anything to do.
func (w Workshop) NewPlan(treeReadOnly bool) Plan {
	return Plan{
		Mounts: []early.Mount{
			share(treeTag, w.Root, treeReadOnly), share(shareTag, w.shareDir(), false),
		},
		Environment: []string{
			"PATH=" + FilesDir + ":/bin", "HOME=/tmp", "TMPDIR=/tmp", "TERM=linux",
			FilesVariable + "=" + FilesDir,
			// The tests with Firecracker's SDK would build the command otherwise.
			"SABREFS=" + filepath.Join(FilesDir, SabrefsFile),
		},
		ReportPath: filepath.Join(w.shareDir(), reportFile),
	}
}

// ReadReport reads what the laboratory has written, and takes it away. A machine that
// has stalled may have written nothing.
func (w Workshop) ReadReport(stalled bool) (Report, error) {
	var report Report
	path := filepath.Join(w.shareDir(), reportFile)
	text, err := os.ReadFile(path)
	if stalled && errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("the laboratory ended without a report: %w", err)
	}
	err = json.Unmarshal(text, &report)
	return report, errors.Join(err, os.Remove(path))
}

func copyFile(target, source string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return os.WriteFile(target, data, 0o644)
}

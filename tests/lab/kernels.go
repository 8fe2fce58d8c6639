package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sabrefs/tests/cache"
)

// kernel is one of Debian's, with the modules that are wanted of it.
type kernel struct {
	dir      string // in the cache's directory
	metapack string // the package that depends on the newest kernel's
	modules  []string
}

var (
	// labKernel runs the laboratory: the one with 9p. Loop devices are for those
	// who try things by hand.
	labKernel = kernel{
		dir: "lab", metapack: "linux-image-amd64",
		modules: []string{"virtio_pci", "9pnet_virtio", "9p", "kvm_amd", "fuse", "loop", "virtio_rng"},
	}
	// guestKernel runs in the laboratory. The cloud kernel boots fastest.
	guestKernel = kernel{
		dir: "guest", metapack: "linux-image-cloud-amd64",
		modules: []string{"virtio_mmio", "virtio_blk"},
	}
)

// shellPackage is a shell with its tools in one static file, for people.
const shellPackage = "busybox-static"

// Downloads are the files that come from Debian.
type Downloads struct{ dir string }

// KernelPath is the laboratory's kernel.
func (d Downloads) KernelPath() string { return filepath.Join(d.dir, labKernel.dir, "vmlinuz") }

// GuestKernelPath is the guest's kernel.
func (d Downloads) GuestKernelPath() string {
	return filepath.Join(d.dir, guestKernel.dir, "vmlinuz")
}

// ShellPath is busybox.
func (d Downloads) ShellPath() string { return filepath.Join(d.dir, "busybox") }

// modulePaths are a kernel's modules in the order of their loading.
func (d Downloads) modulePaths(k kernel) ([]string, error) {
	tree, err := findModules(filepath.Join(d.dir, k.dir))
	if err != nil {
		return nil, err
	}
	return tree.order(k.modules...)
}

// Download returns the kernels and the shell. If they are not in the cache it
// fetches them, which takes apt-get and a network, and says so in log.
func Download(ctx context.Context, log io.Writer) (Downloads, error) {
	recipe := fmt.Appendf(nil, "%+v %+v %s", labKernel, guestKernel, shellPackage)
	target, err := cache.Dir("lab-" + cache.Key(recipe))
	if err != nil {
		return Downloads{}, err
	}
	err = cache.Make(ctx, target, func(dir string) error {
		fmt.Fprintln(log, "lab: fetching kernels")
		return downloadAll(ctx, dir)
	})
	if err != nil {
		return Downloads{}, fmt.Errorf("fetch the laboratory's kernels: %w", err)
	}
	return Downloads{dir: target}, nil
}

func downloadAll(ctx context.Context, dir string) (err error) {
	workDir := filepath.Join(dir, "work")
	defer func() { err = errors.Join(err, os.RemoveAll(workDir)) }()
	for _, k := range []kernel{labKernel, guestKernel} {
		if err := k.download(ctx, filepath.Join(workDir, k.dir), filepath.Join(dir, k.dir)); err != nil {
			return fmt.Errorf("%s: %w", k.metapack, err)
		}
	}
	unpacked, err := downloadPackage(ctx, shellPackage, filepath.Join(workDir, "shell"))
	if err != nil {
		return err
	}
	return os.Rename(filepath.Join(unpacked, "bin", "busybox"), filepath.Join(dir, "busybox"))
}

// download leaves the kernel and the modules that it is wanted with in target.
func (k kernel) download(ctx context.Context, workDir, target string) error {
	name, err := newestKernel(ctx, k.metapack)
	if err != nil {
		return err
	}
	unpacked, err := downloadPackage(ctx, name, workDir)
	if err != nil {
		return err
	}
	images, err := filepath.Glob(filepath.Join(unpacked, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return fmt.Errorf("package %s holds %d kernels (%w)", name, len(images), err)
	}
	tree, err := findModules(unpacked)
	if err != nil {
		return err
	}
	paths, err := tree.order(k.modules...)
	if err != nil {
		return err
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	for _, path := range paths {
		err = errors.Join(err, os.Rename(path, filepath.Join(target, filepath.Base(path))))
	}
	return errors.Join(err, os.Rename(images[0], filepath.Join(target, "vmlinuz")))
}

// newestKernel is the package that a metapackage stands for. Package lists may
// be absent on a fresh machine.
func newestKernel(ctx context.Context, metapack string) (string, error) {
	name, err := dependedKernel(ctx, metapack)
	if err == nil {
		return name, nil
	}
	return retryUpdated(ctx, err, func() (string, error) { return dependedKernel(ctx, metapack) })
}

func dependedKernel(ctx context.Context, metapack string) (string, error) {
	output, err := run(ctx, "", "apt-cache", "depends", metapack)
	if err != nil {
		return "", err
	}
	words := strings.Fields(output)
	at := slices.IndexFunc(words, func(word string) bool {
		return strings.HasPrefix(word, "linux-image-") && word != metapack
	})
	if at < 0 {
		return "", fmt.Errorf("%s depends on no kernel: %q", metapack, output)
	}
	return words[at], nil
}

// downloadPackage downloads a package and unpacks it without installing it.
func downloadPackage(ctx context.Context, name, workDir string) (unpacked string, err error) {
	if err := os.MkdirAll(workDir, 0o755); err != nil {
		return "", err
	}
	download := func() (string, error) {
		// As _apt, apt could not write to a directory of root's.
		return run(ctx, workDir, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name)
	}
	if _, err := download(); err != nil {
		// The lists may name a version that the mirror has dropped.
		if _, err := retryUpdated(ctx, err, download); err != nil {
			return "", err
		}
	}
	archives, err := filepath.Glob(filepath.Join(workDir, "*.deb"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("download of %s gave %d archives (%w)", name, len(archives), err)
	}
	unpacked = filepath.Join(workDir, "unpacked")
	_, err = run(ctx, "", "dpkg", "-x", archives[0], unpacked)
	return unpacked, err
}

// retryUpdated updates the package lists and tries again. A third-party source
// that does not answer makes the update fail and decides nothing.
func retryUpdated(ctx context.Context, first error, try func() (string, error)) (string, error) {
	_, updateErr := run(ctx, "", "apt-get", "-qq", "update")
	result, err := try()
	if err != nil {
		return "", errors.Join(first, updateErr, err)
	}
	return result, nil
}

// run returns what a command prints, on failure within the error.
func run(ctx context.Context, dir, name string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, output)
	}
	return string(output), nil
}

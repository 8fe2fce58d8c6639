package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cavaliergopher/cpio"

	"sabrefs/tests/lab/early"
)

// initramfs collects the files of an initramfs. The archive is written by a
// library rather than by cpio(1), which wants a directory tree made first; the
// one chosen has the interface of archive/tar and no dependencies.
type initramfs struct {
	out  *os.File
	cpio *cpio.Writer
	dirs []string // written so far
}

func createInitramfs(path string) (*initramfs, error) {
	out, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &initramfs{out: out, cpio: cpio.NewWriter(out)}, nil
}

// addHostFile copies a file of the host.
func (i *initramfs) addHostFile(path string, mode cpio.FileMode, hostPath string) error {
	data, err := os.ReadFile(hostPath)
	if err != nil {
		return err
	}
	return i.addFile(path, mode, data)
}

func (i *initramfs) addFile(path string, mode cpio.FileMode, data []byte) error {
	return i.add(path, cpio.TypeReg|mode, data)
}

// addLink makes a symbolic link.
func (i *initramfs) addLink(path, target string) error {
	return i.add(path, cpio.TypeSymlink|0o777, []byte(target))
}

// addModules lays out modules for [early.LoadModules].
func (i *initramfs) addModules(hostPaths []string) error {
	for position, hostPath := range hostPaths {
		path := early.ModulePath(position, filepath.Base(hostPath))
		if err := i.addHostFile(path, 0o644, hostPath); err != nil {
			return err
		}
	}
	return nil
}

// addHostDir copies the files of a directory, which are all made executable.
func (i *initramfs) addHostDir(path, hostDir string) error {
	entries, err := os.ReadDir(hostDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if err := i.addHostFile(filepath.Join(path, name), 0o755, filepath.Join(hostDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// add writes one entry and before it the directories that it lies in, which the
// kernel does not make by itself.
func (i *initramfs) add(path string, mode cpio.FileMode, data []byte) error {
	name, err := filepath.Rel("/", path)
	if err != nil {
		return err
	}
	if parent := filepath.Dir(path); parent != "/" && !slices.Contains(i.dirs, parent) {
		i.dirs = append(i.dirs, parent)
		if err := i.add(parent, cpio.TypeDir|0o755, nil); err != nil {
			return err
		}
	}
	header := &cpio.Header{Name: name, Mode: mode, Size: int64(len(data)), Links: 1}
	if err := i.cpio.WriteHeader(header); err != nil {
		return fmt.Errorf("initramfs %s: %w", path, err)
	}
	_, err = i.cpio.Write(data)
	return err
}

// closeWith ends the archive. It takes the result of the adding, so that an
// archive is whole or an error.
func (i *initramfs) closeWith(err error) error {
	if err == nil {
		err = i.cpio.Close()
	}
	return errors.Join(err, i.out.Close())
}

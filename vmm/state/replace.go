package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of temporary files. Those that a killed process
// left behind are removed by the next pack to the directory; a lock on the file
// says that its writer lives.
const tempPrefix = ".sabrefs-tmp-"

// replace writes a file beside path, makes it durable and gives it its name.
func replace(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("write VM state: %w", err)
	}
	if err := fill(f, content); err != nil {
		return errors.Join(fmt.Errorf("write VM state %s: %w", path, err), f.Close(), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("write VM state: %w", err), f.Close(), os.Remove(f.Name()))
	}
	return errors.Join(f.Close(), syncDir(dir))
}

func fill(f *os.File, content []byte) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write VM state: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

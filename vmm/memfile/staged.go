package memfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tempPrefix begins the names of files that are being written. A mount of a
// store does not show them.
const tempPrefix = ".sabrefs-tmp-"

// Staged is a file that is written under a temporary name beside its target.
// It ends by Commit or by Discard.
type Staged struct {
	file   *os.File
	target string
}

// stage begins a file that Commit will name target.
func stage(target string) (*Staged, error) {
	if err := CheckTarget(target); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(target), tempPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	return &Staged{file: f, target: target}, nil
}

// CheckTarget refuses a path that cannot become a file: a directory, a device,
// a name in a directory that is not there.
func CheckTarget(target string) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(target))
		return err
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w", target, ErrTarget)
	}
	return nil
}

// StageBytes stages a file with the given contents, durable but for its name.
func StageBytes(target string, contents []byte) (*Staged, error) {
	s, err := stage(target)
	if err != nil {
		return nil, err
	}
	_, err = s.file.Write(contents)
	return s.sealed(err)
}

// sealed makes the bytes durable, unless writing them failed: then it discards
// the file.
func (s *Staged) sealed(err error) (*Staged, error) {
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.target, err), s.Discard())
	}
	return s, nil
}

// Commit gives the file its name, replacing one that has it.
func (s *Staged) Commit() error {
	if err := os.Rename(s.file.Name(), s.target); err != nil {
		return errors.Join(err, s.Discard())
	}
	return errors.Join(s.file.Close(), syncDirectory(filepath.Dir(s.target)))
}

// Discard removes the file.
func (s *Staged) Discard() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// syncDirectory makes names in a directory durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package main

import (
	"errors"
	"os"
)

// inWorkDir runs measure in a new directory below parent (or, if that is empty,
// below the system's directory for temporary files) and removes it afterwards.
func inWorkDir(parent string, measure func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(parent, "sabrefs-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return measure(dir)
}

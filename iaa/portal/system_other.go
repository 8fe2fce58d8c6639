//go:build !linux || !amd64

package portal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// System returns this machine, which can have no accelerator.
func System() Host { return system{} }

type system struct{}

func (system) Sysfs() fs.FS { return os.DirFS("/sys") }

func (system) CPU() Instructions { return Instructions{} }

func (system) Open(node string) (Node, error) {
	return nil, fmt.Errorf("device node %q: %w", node, errors.ErrUnsupported)
}

// CurrentCPU returns -1: it cannot be told.
func CurrentCPU() int { return -1 }

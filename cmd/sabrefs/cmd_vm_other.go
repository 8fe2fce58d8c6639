//go:build !amd64

package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// newVMCommand says why there are no machines.
func newVMCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "vm",
		Short: "Run virtual machines (only on x86-64)",
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("sabrefs vm on %s: %w", runtime.GOARCH, errors.ErrUnsupported)
		},
	}
}

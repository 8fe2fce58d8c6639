//go:build !amd64

package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// newVMCommand says why machines cannot be measured.
func newVMCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "vm",
		Short: "Time restoring the built-in guest (only on x86-64)",
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("vm on %s: %w", runtime.GOARCH, errors.ErrUnsupported)
		},
	}
}

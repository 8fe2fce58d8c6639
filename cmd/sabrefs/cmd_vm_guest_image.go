//go:build amd64

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sabrefs/vmm/guest"
)

func newVMGuestImageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "guest-image FILE",
		Short: "Write the built-in guest to a file",
		Long: `Write the built-in guest to a file, as a kernel in ELF form, for clients of the control
socket that want a kernel by its path, and for other monitors that boot 64-bit kernels.
sabrefs vm run --builtin-guest starts it without a file.`,
		Args: arguments(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.WriteFile(args[0], guest.ELF(), 0o644); err != nil {
				return fmt.Errorf("writing the guest: %w", err)
			}
			return nil
		},
	}
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sabrefs",
		Short: "Compressed VM memory snapshots, mounted as plain memory files",
		Long: `sabrefs packs the memory snapshots of virtual machines into small images and
mounts them as the memory files they were, so that an unmodified VMM (QEMU,
Firecracker, Cloud Hypervisor) maps such a file and resumes.

A store is a directory of packed snapshots:

  sabrefs pack SNAPSHOT STORE/NAME     shrink a snapshot directory
  sabrefs mount STORE MOUNTPOINT       show it as it was
  qemu-system-x86_64 ... mem-path=MOUNTPOINT/NAME/mem_file,share=off ...
  sabrefs umount MOUNTPOINT

` + exitCodesHelp,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		Version:           version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; `sabrefs --help` lists them", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.AddCommand(newPackCommand(), newUnpackCommand(), newVerifyCommand(), newInspectCommand(),
		newMountCommand(), newUmountCommand(), newListCommand(), newVersionCommand(), newManCommand())
	return root
}

// arguments is cobra.ExactArgs with our exit code and the names of what is
// missing.
func arguments(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%d arguments, expected %d; usage: %s", len(args), n, cmd.UseLine())}
		}
		return nil
	}
}

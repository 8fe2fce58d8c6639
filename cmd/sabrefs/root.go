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

DEFLATE is decoded by Intel IAA where there is one, else in software. The environment
variable SABREFS_IAA overrides that: auto, software, device or model. See sabrefs
doctor.

` + exitCodesHelp,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		Version:           version,
		Args:              noSuchCommand,
		RunE:              showHelp,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.AddCommand(newPackCommand(), newRepackCommand(), newFlattenCommand(), newRebaseCommand(), newUnpackCommand(),
		newVerifyCommand(), newInspectCommand(), newListCommand(), newRemoveCommand(),
		newMountCommand(), newUmountCommand(), newStatsCommand(), newWorkingSetCommand(), newVMCommand(),
		newDoctorCommand(), newVersionCommand(), newManCommand(), newLookUpCommand())
	checkGeneratedCommands(root)
	return root
}

// checkGeneratedCommands adds the commands that cobra makes, and makes them
// refuse wrong arguments as ours do.
func checkGeneratedCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if found, _, err := root.Find(args); err != nil || found == root && len(args) > 0 {
					return unknownCommand(root, args[0])
				}
				return nil
			}
		case "completion":
			cmd.Args = noSuchCommand
			cmd.RunE = showHelp
			for _, shell := range cmd.Commands() {
				shell.Args = arguments(0)
			}
		}
	}
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSuchCommand refuses what remains of the arguments when no command is found.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

func unknownCommand(parent *cobra.Command, name string) error {
	return usageError{fmt.Errorf("unknown command %q; `%s --help` lists them", name, parent.CommandPath())}
}

// arguments is cobra.ExactArgs with our exit code and the names of what is
// missing.
func arguments(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("expected %d arguments, got %d; usage: %s", n, len(args), cmd.UseLine())}
		}
		return nil
	}
}

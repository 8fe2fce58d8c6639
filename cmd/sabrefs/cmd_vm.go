//go:build amd64

package main

import "github.com/spf13/cobra"

func newVMCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vm",
		Short: "Run, snapshot and restore small virtual machines with KVM",
		Long: `Run a machine with KVM, take snapshots of it, and restore them: from plain files, or
from a packed snapshot, which is mounted for it. The machine's memory is a private
mapping of the snapshot's memory file, so restoring reads nothing up front, and any
number of machines share the pages of one file.

It is a small machine: processors, memory, a serial console, virtio block devices.
Its control socket speaks the part of Firecracker's API that snapshots need, so that
Firecracker's clients drive it. docs/VMM.md says what is supported and what is not.`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newVMRunCommand(), newVMRestoreCommand(), newVMSnapshotCommand(), newVMPauseCommand(), newVMResumeCommand(),
		newVMStopCommand(), newVMMergeCommand(), newVMGuestImageCommand())
	return cmd
}

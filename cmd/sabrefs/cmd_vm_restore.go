//go:build amd64

package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"sabrefs/vmm"
)

// vmRestoreFlags are the options of vm restore.
type vmRestoreFlags struct {
	vmSessionFlags
	memory string
	drives driveSpecs
	paused bool

	prefetch   string
	workingSet string
	record     string
}

func newVMRestoreCommand() *cobra.Command {
	var flags vmRestoreFlags
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Restore a machine from a snapshot and let it go on",
		Long: `Restore a machine from DIR/snapshot_file and DIR/mem_file. The memory file is mapped
privately: nothing is read before the guest touches it, and it is never changed, so any
number of machines can be restored from one snapshot.

If the memory file is packed (DIR/mem_file.sabre), DIR is mounted for the machine, by a
process that ends when the machine does. Many machines share pages only if they share a
mount: mount the store yourself then, and restore from there.

The console is on standard input and output, as for sabrefs vm run.`,
		Example: `  sabrefs vm restore /snapshots/one
  sabrefs vm restore --json /store/one
  sabrefs vm restore --memory /mnt/snapshots/one/mem_file /store/one`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.inSession(cmd.OutOrStdout(), cmd.ErrOrStderr(), func(s *vmSession) error {
				return s.startFrom(cmd.Context(), args[0], flags)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (flags *vmRestoreFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	flags.vmSessionFlags.add(f)
	f.StringVar(&flags.memory, "memory", "", "memory file, if it is not DIR/mem_file")
	f.Var(&flags.drives, "drive", "where the file of a block device is now: path=FILE,id=NAME; may be repeated")
	f.BoolVar(&flags.paused, "paused", false, "do not let it go on yet: sabrefs vm resume does")
	f.StringVar(&flags.prefetch, "prefetch", "", "packed snapshots: as for sabrefs mount")
	f.StringVar(&flags.workingSet, "working-set", "", "packed snapshots: as for sabrefs mount")
	f.StringVar(&flags.record, "record", "", "packed snapshots: as for sabrefs mount")
}

// mountOptions are passed on to the mount of a packed snapshot.
func (flags *vmRestoreFlags) mountOptions() (options []string) {
	for _, option := range []struct{ name, value string }{
		{"--prefetch", flags.prefetch}, {"--working-set", flags.workingSet}, {"--record", flags.record},
	} {
		if option.value != "" {
			options = append(options, option.name, option.value)
		}
	}
	return options
}

// startFrom restores the machine, lets it go on and runs it to its end.
func (s *vmSession) startFrom(ctx context.Context, dir string, flags vmRestoreFlags) error {
	config := vmm.RestoreConfig{StatePath: filepath.Join(dir, stateFileName), MemoryPath: flags.memory, TrackDirtyPages: flags.trackDirty,
		HugePages: flags.hugePages, Drives: flags.drives.paths()}
	if flags.memory == "" {
		mounted, err := openSnapshot(ctx, dir, flags.mountOptions())
		if err != nil {
			return err
		}
		s.mount = mounted
		config.MemoryPath = filepath.Join(mounted.dir, memoryFileName)
	}
	m, err := s.restore(ctx, config)
	if err != nil {
		return err
	}
	if !flags.paused {
		if err := m.Resume(); err != nil {
			return err
		}
	}
	return s.run(ctx, flags.socket, flags.id)
}

// paths says where the files of drives are, by their names.
func (d *driveSpecs) paths() map[string]string {
	paths := make(map[string]string, len(*d))
	for _, drive := range *d {
		paths[drive.id] = drive.path
	}
	return paths
}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sabrefs/fs"
)

func newUmountCommand() *cobra.Command {
	var lazy bool
	cmd := &cobra.Command{
		Use:     "umount MOUNTPOINT",
		Aliases: []string{"unmount"},
		Short:   "Unmount a store",
		Long: `Unmount a store and wait until its daemon has ended: what it had to write, such
as traces of working sets, is there then. While a VM maps a memory file of the mount
this is refused, for the VM could not go on. With --lazy the mount disappears
from the tree at once and ends when the last VM lets go of it.`,
		Args: arguments(1),
		RunE: func(_ *cobra.Command, args []string) error { return runUmount(args[0], lazy) },
	}
	cmd.Flags().BoolVar(&lazy, "lazy", false, "detach now, end when nobody uses it any more")
	return cmd
}

func runUmount(mountPoint string, lazy bool) error {
	path, mounted, err := fs.LocateMount(mountPoint)
	if err != nil && !errors.Is(err, unix.ELOOP) {
		return err
	}
	if !mounted {
		return usageError{fmt.Errorf("%s: no store is mounted there", mountPoint)}
	}
	if lazy {
		return umount(path, lazy) // the daemon goes on for those who use the mount
	}
	daemon := daemonOf(path)
	defer daemon.close()
	if err := umount(path, lazy); err != nil {
		return err
	}
	daemon.awaitEnd()
	return nil
}

func umount(path string, lazy bool) error {
	if os.Geteuid() == 0 {
		return umountDirectly(path, lazy)
	}
	return umountByHelper(path, lazy)
}

func umountDirectly(path string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(path, flags); err != nil {
		return umountHint(path, err)
	}
	return nil
}

// umountByHelper asks fusermount3, which may unmount what a user mounted.
func umountByHelper(path string, lazy bool) error {
	args := []string{"-u", path}
	if lazy {
		args = []string{"-u", "-z", path}
	}
	out, err := exec.Command("fusermount3", args...).CombinedOutput()
	if err == nil {
		return nil
	}
	if strings.Contains(string(out), "busy") {
		return umountHint(path, unix.EBUSY)
	}
	return withOutput(fmt.Errorf("unmounting %s: running fusermount3: %w", path, err), string(out))
}

func umountHint(path string, err error) error {
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: %w: files of the mount are in use; end the VMs, or use --lazy", path, err)
	}
	return fmt.Errorf("unmounting %s: %w", path, err)
}

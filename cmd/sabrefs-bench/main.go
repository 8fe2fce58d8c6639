// Command sabrefs-bench measures sabrefs beside what it competes with, on this
// machine and in one run. It drives the sabrefs binary as users do, and touches
// files from processes of their own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the Makefile.
var version = "unreleased"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "sabrefs-bench: %v\n", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sabrefs-bench",
		Short: "Measure sabrefs and its peers",
		Long: `Measure sabrefs beside raw files, EROFS and squashfs. All sides of a comparison
are measured in turn in one run, with the caches dropped before each measurement
and seen to be dropped; medians are reported. Needs root, to mount and to drop
caches. Nothing else should run on the machine.

Cold starts of real guests are measured by coldstart, what comes before them and
under them by prefetch and fault; restoring by our own launcher by vm; images with parents
by layers. The engines that compress are compared by codec, which needs no root.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.AddCommand(newPeersCommand(), newOpenCommand(), newMemoryCommand(), newCodecCommand(),
		newColdstartCommand(), newPrefetchCommand(), newFaultCommand(), newVMCommand(), newLayersCommand(), newTouchCommand(), newSlowDiskCommand())
	return root
}

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// newLookUpCommand is what a daemon starts to make the kernel know files of its own
// mount: it must not touch them itself.
func newLookUpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    lookUpCommand + " PATH...",
		Short:  "Look files up, for the daemon of a mount",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			for _, path := range args {
				_, statErr := os.Stat(path)
				err = errors.Join(err, statErr)
			}
			return err
		},
	}
}

const lookUpCommand = "look-up"

// lookUpElsewhere runs the command in another process.
func lookUpElsewhere(ctx context.Context, paths []string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{lookUpCommand, "--"}, paths...)...)
	cmd.Args[0] = os.Args[0]
	out, err := cmd.CombinedOutput()
	if err != nil {
		return withOutput(err, string(out))
	}
	return nil
}

//go:build amd64

package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newVMResumeCommand() *cobra.Command {
	return newVMControlCommand("resume", "Let a paused machine go on", `Let a paused machine go on. One that runs already is left alone.`, func(ctx context.Context, c *vmClient) error {
		return c.resume(ctx)
	})
}

func newVMPauseCommand() *cobra.Command {
	return newVMControlCommand("pause", "Stop the processors of a machine", `Stop the processors of a machine. Nothing of it runs until it is resumed; a snapshot can
be taken meanwhile.`, func(ctx context.Context, c *vmClient) error { return c.pause(ctx) })
}

func newVMStopCommand() *cobra.Command {
	return newVMControlCommand("stop", "Ask the guest to shut down", `Press Ctrl-Alt-Del on the guest's keyboard and return. A guest that listens shuts down,
and its process ends; one that does not goes on: end its process by SIGTERM.`,
		func(ctx context.Context, c *vmClient) error { return c.action(ctx, "SendCtrlAltDel") })
}

// newVMControlCommand makes a command that asks one thing of a machine.
func newVMControlCommand(name, short, long string, ask func(context.Context, *vmClient) error) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   name + " --api-sock SOCKET",
		Short: short,
		Long:  long,
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := newVMClient(socket)
			if err != nil {
				return err
			}
			if _, err := client.started(cmd.Context()); err != nil {
				return err
			}
			return ask(cmd.Context(), client)
		},
	}
	addSocketFlag(cmd, &socket)
	return cmd
}

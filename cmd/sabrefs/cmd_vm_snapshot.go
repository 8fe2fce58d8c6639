//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// The names of the two files of a snapshot.
const (
	stateFileName  = "snapshot_file"
	memoryFileName = "mem_file"
)

// vmSnapshotFlags are the options of vm snapshot.
type vmSnapshotFlags struct {
	socket string
	diff   bool
	paused bool
	json   bool
}

func newVMSnapshotCommand() *cobra.Command {
	var flags vmSnapshotFlags
	cmd := &cobra.Command{
		Use:   "snapshot --api-sock SOCKET DIR",
		Short: "Take a snapshot of a running machine",
		Long: `Pause the machine behind a control socket, write its state to DIR/snapshot_file and
its memory to DIR/mem_file, and let it go on. DIR is made if it does not exist; files
of an earlier snapshot in it are replaced when the new ones are complete.

mem_file has the machine's whole size, but pages of zeros are holes. With --diff it has
only the pages that were written since the machine was started, restored, or last
snapshotted; the machine must have been started with --track-dirty-pages. A diff of a
machine that was started here is complete in itself. Any other must be applied to the
memory file that it came from: sabrefs vm merge.`,
		Example: `  sabrefs vm snapshot --api-sock /run/vm.sock /snapshots/one
  sabrefs pack /snapshots/one /store/one`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVMSnapshot(cmd.Context(), cmd.OutOrStdout(), args[0], flags)
		},
	}
	f := cmd.Flags()
	addSocketFlag(cmd, &flags.socket)
	f.BoolVar(&flags.diff, "diff", false, "only what was written since the last snapshot")
	f.BoolVar(&flags.paused, "keep-paused", false, "do not let the machine go on")
	f.BoolVar(&flags.json, "json", false, "print as JSON")
	return cmd
}

// addSocketFlag adds the option without which there is no machine to speak to.
func addSocketFlag(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "api-sock", "", "control socket of the machine (required)")
}

// vmSnapshotRow is what vm snapshot prints as JSON.
type vmSnapshotRow struct {
	SnapshotFile    string  `json:"snapshot_file"`
	MemFile         string  `json:"mem_file"`
	Kind            string  `json:"kind"`
	RawBytes        int64   `json:"raw_bytes"`
	AllocatedBytes  int64   `json:"allocated_bytes"`
	PausedMillis    float64 `json:"paused_millis"`
	LeftPausedAfter bool    `json:"left_paused"`
}

func runVMSnapshot(ctx context.Context, out io.Writer, dir string, flags vmSnapshotFlags) error {
	dir, err := filepath.Abs(dir) // the machine's process may be elsewhere
	if err != nil {
		return err
	}
	row := vmSnapshotRow{SnapshotFile: filepath.Join(dir, stateFileName), MemFile: filepath.Join(dir, memoryFileName), Kind: "Full"}
	if flags.diff {
		row.Kind = "Diff"
	}
	client, err := newVMClient(flags.socket)
	if err != nil {
		return err
	}
	vm, err := client.started(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	row.LeftPausedAfter = flags.paused || vm.State == instancePaused
	if err := takeSnapshot(ctx, client, vm, &row); err != nil {
		return err
	}
	return row.print(out, flags.json)
}

// takeSnapshot pauses the machine for it, and lets it go on also when it failed.
func takeSnapshot(ctx context.Context, client *vmClient, vm instance, row *vmSnapshotRow) (err error) {
	began := time.Now()
	if vm.State == instanceRunning {
		if err := client.pause(ctx); err != nil {
			return err
		}
	}
	err = client.createSnapshot(ctx, row.Kind, row.SnapshotFile, row.MemFile)
	if vm.State == instanceRunning && (err != nil || !row.LeftPausedAfter) {
		err = errors.Join(err, client.resume(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return err
	}
	row.PausedMillis = millis(time.Since(began))
	row.RawBytes, row.AllocatedBytes, err = fileSizes(row.MemFile)
	return err
}

func (row vmSnapshotRow) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, row)
	}
	_, err := fmt.Fprintf(out, "%s: %s of memory, %s written; paused for %.0f ms\n", filepath.Dir(row.MemFile),
		humanBytes(row.RawBytes), humanBytes(row.AllocatedBytes), row.PausedMillis)
	return err
}

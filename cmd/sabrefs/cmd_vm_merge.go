//go:build amd64

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sabrefs/vmm/memfile"
)

func newVMMergeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "merge BASE DIFF OUT",
		Short: "Apply a diff of a memory file to the one it belongs to",
		Long: `Write to OUT the memory file BASE with the pages of DIFF in place of its own. DIFF is
what sabrefs vm snapshot --diff has written: the pages that it has are those that are
not holes. OUT may be BASE, which is then replaced when all is written; a machine that
runs from BASE is not disturbed.

Resume from OUT with the snapshot_file that was written with DIFF.`,
		Example: `  sabrefs vm merge /snapshots/base/mem_file /snapshots/diff/mem_file /snapshots/diff/mem_file`,
		Args:    arguments(3), //nolint:mnd // BASE DIFF OUT
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVMMerge(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], args[2])
		},
	}
}

func runVMMerge(ctx context.Context, out io.Writer, base, diff, merged string) error {
	if err := memfile.Merge(ctx, base, diff, merged); err != nil {
		return err
	}
	raw, allocated, err := fileSizes(merged)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %s of memory, %s written\n", merged, humanBytes(raw), humanBytes(allocated))
	return err
}

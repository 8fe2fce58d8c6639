package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// layersFlags are the options of the commands below layers; each has those that it
// needs.
type layersFlags struct {
	input, sabrefs, workDir string
	mib, dataPercent        int
	changedPermille         int
	depths                  []int
	depth, reads, runs      int
	seed                    uint64
	cold, json              bool
}

func newLayersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "layers",
		Short: "Measure images with parents beside images that stand alone",
		Long: `Make the memory of a guest and a chain of images, each of which has the one before
as its parent: the guest changes some pages all over its memory, which is then packed
against the last image, and so on. Then measure the chain beside a flat image, all sides
in turn.`,
	}
	cmd.AddCommand(newLayersOpenCommand(), newLayersFaultCommand(), newLayersPackCommand())
	return cmd
}

// newLayersSubcommand is a command with the options that all of layers have.
func newLayersSubcommand(use, short, long string, flags *layersFlags, run func(ctx context.Context, out, log io.Writer, flags layersFlags) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.input, "input", "", "memory file of a guest (default: one that is made up)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for memory and images (default: a temporary one)")
	f.IntVar(&flags.changedPermille, "changed", 10, "pages that a layer changes, in thousandths of those that are not zero")
	f.IntVar(&flags.runs, "runs", 9, "rounds of measurements")
	f.Uint64Var(&flags.seed, "seed", 1, "what the memory and its changes are made of")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	return cmd
}

// addMemory adds the options of a memory that is made up.
func (flags *layersFlags) addMemory(cmd *cobra.Command, mib, dataPercent int) {
	f := cmd.Flags()
	f.IntVar(&flags.mib, "mib", mib, "size of a memory that is made up, in MiB")
	f.IntVar(&flags.dataPercent, "data", dataPercent, "percentage of its pages that are not zero")
}

func (flags *layersFlags) addSabrefs(cmd *cobra.Command) {
	cmd.Flags().StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
}

// check refuses what makes no sense before any work.
func (flags *layersFlags) check() error {
	const maxMiB, percent, permille = 1 << 20, 100, 1000
	switch {
	case flags.runs < 1:
		return fmt.Errorf("%d runs: expected at least one", flags.runs)
	case flags.mib < 1 || flags.mib > maxMiB:
		return fmt.Errorf("%d MiB of memory: expected 1 to %d", flags.mib, maxMiB)
	case flags.dataPercent < 1 || flags.dataPercent > percent:
		return fmt.Errorf("%d %% of pages with data: expected 1 to %d", flags.dataPercent, percent)
	case flags.changedPermille < 1 || flags.changedPermille > permille:
		return fmt.Errorf("%d thousandths of pages changed: expected 1 to %d", flags.changedPermille, permille)
	}
	return nil
}

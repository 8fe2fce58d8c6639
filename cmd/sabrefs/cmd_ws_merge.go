package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
)

// mergeFlags are the options of ws merge.
type mergeFlags struct {
	out          outFile
	minRuns      int
	union        bool
	intersection bool
	json         bool
}

func newTraceMergeCommand() *cobra.Command {
	var flags mergeFlags
	cmd := &cobra.Command{
		Use:   "merge --out FILE TRACE...",
		Short: "Make one trace of several runs",
		Long: `Make one trace of several, which must be of the same content (else exit code 9).

--union keeps every page that any run has touched: the most that prefetching can
help. --intersection keeps only what every run has touched: nothing is read in
vain. --min-runs K is between the two. Runs are counted over all recordings: a
trace that was itself merged counts with the runs that it is made of.

The time of a page is the median of its first touches in the runs that saw it (the
earlier of the middle two), and the pages are in that order.

FILE appears when it is complete. It may be one of the traces, with --force.`,
		Example: `  sabrefs ws merge --out python.ws run1/mem_file.ws run2/mem_file.ws run3/mem_file.ws
  sabrefs ws merge --min-runs 2 --out python.ws run*/mem_file.ws`,
		Args: atLeastOneTrace,
		RunE: func(cmd *cobra.Command, args []string) error {
			minRuns, err := flags.neededRuns(cmd)
			if err != nil {
				return err
			}
			if err := flags.out.check(cmd); err != nil {
				return err
			}
			return runTraceMerge(cmd.OutOrStdout(), args, minRuns, flags)
		},
	}
	flags.out.register(cmd, "the merged trace, a file name (required)")
	f := cmd.Flags()
	f.BoolVar(&flags.union, "union", false, "keep pages of any run (the default)")
	f.BoolVar(&flags.intersection, "intersection", false, "keep pages of every run")
	f.IntVar(&flags.minRuns, "min-runs", 0, "keep pages that were seen in at least so many runs")
	f.Lookup("min-runs").DefValue = "" // no number says it
	f.BoolVar(&flags.json, "json", false, "print the result as JSON")
	return cmd
}

// neededRuns turns the three flags into what Merge wants.
func (flags mergeFlags) neededRuns(cmd *cobra.Command) (int, error) {
	given := 0
	for _, name := range []string{"union", "intersection", "min-runs"} {
		if cmd.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return 0, usageError{errors.New("only one of --union, --intersection and --min-runs can be given")}
	case flags.intersection:
		return prefetch.AllRuns, nil
	case !cmd.Flags().Changed("min-runs"):
		return prefetch.AnyRun, nil
	case flags.minRuns < 1:
		return 0, usageError{fmt.Errorf("--min-runs %d: at least 1", flags.minRuns)}
	}
	return flags.minRuns, nil
}

// mergeRow is the result of ws merge as JSON.
type mergeRow struct {
	Path    string `json:"path"`
	Runs    uint32 `json:"runs"`
	MinRuns int    `json:"min_runs"`
	Pages   int    `json:"pages"`
	Traces  int    `json:"traces"`
}

func runTraceMerge(out io.Writer, paths []string, minRuns int, flags mergeFlags) error {
	traces, err := readTracesOfOneImage(paths)
	if err != nil {
		return err
	}
	merged, err := prefetch.Merge(traces, minRuns)
	if err != nil {
		return err
	}
	write := merged.CreateFile
	if flags.out.force {
		write = merged.WriteFile
	}
	if err := write(flags.out.path); err != nil {
		return err
	}
	if minRuns == prefetch.AllRuns {
		minRuns = int(merged.Runs)
	}
	row := mergeRow{flags.out.path, merged.Runs, minRuns, len(merged.Touches), len(traces)}
	if flags.json {
		return printJSON(out, row)
	}
	_, err = fmt.Fprintf(out, "%s: %d pages, %s, seen in at least %d of %d runs\n",
		row.Path, row.Pages, humanBytes(merged.TouchedBytes()), row.MinRuns, row.Runs)
	return err
}

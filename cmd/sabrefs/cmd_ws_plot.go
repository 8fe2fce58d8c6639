package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// maxPlottedTraces is how many colors can be told apart.
const maxPlottedTraces = 8

func newTracePlotCommand() *cobra.Command {
	var out outFile
	cmd := &cobra.Command{
		Use:   "plot --out FILE TRACE...",
		Short: "Draw traces: guest addresses against the time of first touch",
		Long: `Draw up to eight traces into a picture, SVG or PNG by the ending of FILE. Left, each
page is a dot at the time of its first touch and its offset in the memory file; of a
trace that was merged, pages that not all runs have seen are paler. Right is how many
pages were touched in each piece of the memory.

Traces may be of different images, to see what guests have in common.`,
		Example: `  sabrefs ws plot --out python.svg traces/python/mem_file.ws
  sabrefs ws plot --out both.png traces/python/mem_file.ws traces/redis/mem_file.ws`,
		Args: atLeastOneTrace,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(cmd); err != nil {
				return err
			}
			return runTracePlot(args, out)
		},
	}
	out.register(cmd, "the picture, a file name that ends in .svg or .png (required)")
	return cmd
}

func runTracePlot(paths []string, out outFile) error {
	if len(paths) > maxPlottedTraces {
		return usageError{fmt.Errorf("%d traces: at most %d in one picture", len(paths), maxPlottedTraces)}
	}
	ending := strings.ToLower(filepath.Ext(out.path))
	newPicture, ok := pictureFormats[ending]
	if !ok {
		return usageError{fmt.Errorf("%s: ending is %q, not .svg or .png", out.path, ending)}
	}
	traces, err := readTraces(paths)
	if err != nil {
		return err
	}
	picture, err := drawTraces(traces, traceLabels(paths), newPicture())
	if err != nil {
		return err
	}
	write := store.CreateFile
	if out.force {
		write = store.ReplaceFile
	}
	const anyoneReads = 0o644
	return write(out.path, anyoneReads, picture)
}

// traceLabels are the shortest names that tell the traces apart.
func traceLabels(paths []string) []string {
	labels := make([]string, len(paths))
	for i, path := range paths {
		labels[i] = printable(strings.TrimSuffix(filepath.Base(path), prefetch.TraceSuffix))
	}
	if sorted := slices.Sorted(slices.Values(labels)); len(slices.Compact(sorted)) == len(paths) {
		return labels
	}
	for i, path := range paths { // memory files have the same name in every snapshot
		labels[i] = printable(path)
	}
	return labels
}

// printable replaces what a file name may have and a picture may not.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}

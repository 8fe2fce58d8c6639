package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
	"sabrefs/store"
)

func newWorkingSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ws",
		Short: "Look at recorded working sets, and merge, compare and draw them",
		Long: `A guest that resumes from a snapshot touches a small part of its memory, mostly
the same part each time: its working set. A trace (*.ws) is what a mount in record
mode has seen of one such run: which pages, in which order, and when.

  sabrefs ws info TRACE...                       what traces are about
  sabrefs ws dump TRACE                          every page of one
  sabrefs ws merge --out ALL.ws TRACE...         one trace of several runs
  sabrefs ws diff A.ws B.ws                      how alike two are
  sabrefs ws plot --out WS.svg TRACE...          addresses against time, drawn

A trace belongs to the content of one memory file. It may be used for any image
with that content, however it is packed, and for no other (exit code 9). A trace
that is damaged is refused as a whole (exit code 3).`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newTraceInfoCommand(), newTraceDumpCommand(), newTraceMergeCommand(),
		newTraceDiffCommand(), newTracePlotCommand())
	return cmd
}

// atLeastOneTrace wants one argument or more.
func atLeastOneTrace(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("expected at least 1 argument, got 0; usage: %s", cmd.UseLine())}
	}
	return nil
}

// readTraces reads traces that are to be used together.
func readTraces(paths []string) ([]*prefetch.Trace, error) {
	traces := make([]*prefetch.Trace, 0, len(paths))
	for _, path := range paths {
		t, err := prefetch.ReadFile(path)
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	return traces, nil
}

// readTracesOfOneImage reads traces and names the two files that do not belong
// together, if there are such.
func readTracesOfOneImage(paths []string) ([]*prefetch.Trace, error) {
	traces, err := readTraces(paths)
	if err != nil {
		return nil, err
	}
	for i, t := range traces {
		if err := traces[0].CheckSame(t); err != nil {
			return nil, fmt.Errorf("%s and %s: %w", paths[0], paths[i], err)
		}
	}
	return traces, nil
}

// findTraces replaces directories by the traces below them, in the order of
// their names.
func findTraces(paths []string) ([]string, error) {
	var traces []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			traces = append(traces, path)
			continue
		}
		below, err := tracesBelow(path)
		if err != nil {
			return nil, err
		}
		traces = append(traces, below...)
	}
	return traces, nil
}

func tracesBelow(dir string) (traces []string, err error) {
	// the separator makes the walk enter dir if that is a symbolic link
	err = filepath.WalkDir(dir+string(filepath.Separator), func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(p, prefetch.TraceSuffix) {
			traces = append(traces, p)
		}
		return err
	})
	if err == nil && len(traces) == 0 {
		err = fmt.Errorf("%s: %w: no *%s below it", dir, prefetch.ErrTrace, prefetch.TraceSuffix)
	}
	return traces, err
}

// outFile is the target of a command that writes a file, with --force or without.
type outFile struct {
	path  string
	force bool
}

// register adds the two flags.
func (o *outFile) register(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&o.path, "out", "", what)
	cmd.Flags().BoolVar(&o.force, "force", false, "replace FILE if it exists")
}

// check finds out before the work whether it can be kept.
func (o *outFile) check(cmd *cobra.Command) error {
	if o.path == "" {
		return usageError{fmt.Errorf("--out is missing; usage: %s", cmd.UseLine())}
	}
	_, err := os.Lstat(o.path)
	switch {
	case o.force || errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s: %w: remove it or give --force", o.path, store.ErrExists)
}

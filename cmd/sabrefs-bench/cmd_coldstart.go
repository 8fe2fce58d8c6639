package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sabrefs/cmd/sabrefs-bench/functions"
)

// coldstartFlags are the options of coldstart.
type coldstartFlags struct {
	guests    []string
	functions []string
	sides     []string // none: all
	parent    string   // snapshot directory; empty for none
	sabrefs   string
	workDir   string
	outDir    string
	sameInput bool
	runs      int
	records   int // of each function; the traces are merged
	throttle  int // MB/s; 0 is the disk as it is
	json      bool
}

func newColdstartCommand() *cobra.Command {
	var flags coldstartFlags
	cmd := &cobra.Command{
		Use:   "coldstart --guest SNAPSHOT_DIR...",
		Short: "Time cold starts of functions in real guests under an unmodified QEMU",
		Long: `Record the working set of each function once, on a mount and under QEMU; lay the
image out by it; then start the function cold again and again, with another input
than it was recorded with (unless --same-input is given), all sides in turn. A function's answers must be the
same on all sides, or the command fails.

A cold start is timed from the start of QEMU until the last answer (total), and
from migrate-incoming until then (without QEMU's own start). Cold means: nothing
of the memory file or the image is in the page cache, and that has been checked.
QEMU itself, the program sabrefs, and QEMU's state file of 300 KB are in it: all
sides need the same of them. The mount is fresh, made before the clock starts.

Sides, for --sides:
  raw-cold    the memory file as it is
  raw-warm    the same, read to the page cache before: what no cold start can beat
  mount       a mount without a working set, --prefetch none
  trace       a mount of the same image with the recorded trace, --working-set
  ws          a mount of an image that was laid out by the trace (repack)
  restore     the restore part without QEMU: a process that maps the file and
              touches the pages of the working set in the recorded order, on the
              raw file, on the mounts of "mount" and "ws", and as REAP does: an
              uncompressed working set read with O_DIRECT and installed by
              userfaultfd (reap; reap-ahead also reads ahead meanwhile)
  layer       a mount of the guest as a layer (pack --parent) on the image of the
              snapshot that --parent names, which was laid out by a recording of the
              function in that guest: what the layer knows of it, it has inherited
  layer-ws    the same, and the layer was laid out by the guest's own trace, too

overhead is what a side takes longer than raw-warm, left the share of raw-cold's
overhead that it has; reads and late are what the mount was asked for by the kernel
until then, and the pages of the working set that were pushed too late. Restore: time saved against reap, in percent.

The guests are those of guestsnap --guest python and --guest node; SNAPSHOT_DIR's
last element is the guest's name, or write NAME=SNAPSHOT_DIR. The functions:
` + wrapNames(functionNames(), 78) + `

--throttle puts all files on a disk of that speed: a loop device over a file that a
process reads evenly at the rate. What that amounts to is measured and printed first.`,
		Example: `  sabrefs-bench coldstart --guest ~/.cache/sabrefs/guest-python-*/python --functions python,matmul
  sabrefs-bench coldstart --guest P/python --guest N/node --throttle 550 --out results
  sabrefs-bench coldstart --guest python=P/python-later --parent P/python --functions python`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runColdstart(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.guests, "guest", nil, "snapshot directory of a guest (required, may be repeated)")
	f.StringSliceVar(&flags.functions, "functions", nil, "functions to start (default: all of the given guests)")
	f.StringSliceVar(&flags.sides, "sides", nil, "what to measure (default: all; layer and layer-ws with --parent only)")
	f.StringVar(&flags.parent, "parent", "", "snapshot directory of the parent, for the sides layer and layer-ws")
	f.StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for memory files and images, on the disk in question (default: a temporary one)")
	f.StringVar(&flags.outDir, "out", "", "also write coldstart.json, coldstart.txt and the traces to this directory")
	f.IntVar(&flags.runs, "runs", 7, "rounds of measurements")
	f.BoolVar(&flags.sameInput, "same-input", false, "record with the input that is measured, not with another one")
	f.IntVar(&flags.records, "recordings", 1, "recordings of each function, merged into one trace")
	f.IntVar(&flags.throttle, "throttle", 0, "hold reads to so many MB/s (10^6 bytes)")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("guest")
	return cmd
}

func functionNames() []string {
	var names []string
	for _, function := range functions.All() {
		names = append(names, function.Name)
	}
	return names
}

// wrapNames lists names in lines of at most so many characters.
func wrapNames(names []string, width int) string {
	var text strings.Builder
	lineChars := 0
	for i, name := range names {
		if i+1 < len(names) {
			name += ","
		}
		if lineChars > 0 && lineChars+1+len(name) > width {
			text.WriteString("\n")
			lineChars = 0
		}
		if lineChars > 0 {
			text.WriteString(" ")
			lineChars++
		}
		text.WriteString(name)
		lineChars += len(name)
	}
	return text.String()
}

func (f *coldstartFlags) check() error {
	known := sideNames(f.parent != "")
	if len(f.sides) == 0 {
		f.sides = known
	}
	for _, side := range f.sides {
		if !slices.Contains(known, side) {
			return fmt.Errorf("side %q: expected some of %s", side, strings.Join(known, ","))
		}
	}
	if f.parent != "" && len(f.guests) > 1 {
		return fmt.Errorf("%d guests and one parent: expected one guest", len(f.guests))
	}
	if f.runs < 1 || f.records < 1 {
		return fmt.Errorf("%d runs, %d recordings: expected at least one", f.runs, f.records)
	}
	if f.throttle < 0 {
		return fmt.Errorf("a throttle of %d MB/s: expected a positive rate, or 0 for none", f.throttle)
	}
	return nil
}

func runColdstart(ctx context.Context, out, log io.Writer, flags coldstartFlags) error {
	c, err := newColdstart(flags, log)
	if err != nil {
		return err
	}
	if flags.outDir != "" { // now, not after an hour of measuring
		if err := os.MkdirAll(flags.outDir, 0o755); err != nil {
			return err
		}
	}
	var rows []coldRow
	err = inWorkDir(flags.workDir, func(dir string) error {
		return c.onDisk(ctx, dir, func() (err error) {
			rows, err = c.run(ctx)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := writeColdstart(flags.outDir, rows); err != nil {
		return err
	}
	return printResult(out, rows, flags.json, printColdstart)
}

// writeColdstart keeps the results as files, if that is asked for.
func writeColdstart(dir string, rows []coldRow) error {
	if dir == "" {
		return nil
	}
	asJSON, err := os.Create(filepath.Join(dir, "coldstart.json"))
	if err != nil {
		return err
	}
	err = printRows(asJSON, rows)
	table, createErr := os.Create(filepath.Join(dir, "coldstart.txt"))
	if err := errors.Join(err, createErr, asJSON.Close()); err != nil {
		return err
	}
	return errors.Join(printColdstart(table, rows), table.Close())
}

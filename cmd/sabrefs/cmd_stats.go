package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sabrefs/fs"
)

// statsAttribute is where a mount tells what it counted.
const statsAttribute = "user.sabrefs.stats"

func newStatsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats MOUNTPOINT",
		Short: "Show what a mount has read, decoded and prefetched",
		Long: `Show what a mount has counted, and what it knows of each memory file that was
opened: how long reads took by where the bytes came from, and what prefetch did.

Pages of prefetch are counted once each:

  planned   of the working set
  pushed    put into the page cache
  used      pushed because they were recorded, and not asked for since
  late      asked for by a guest before they were pushed
  evicted   asked for after they were pushed: the kernel had dropped them
  gap       pushed along between two pages of the working set
  rest      pushed because all of the image was to be (--prefetch all)
  wasted    evicted and gap

What is in the page cache is used without anybody asking; hence a page that was
recorded and pushed counts as used unless the kernel asks for it.

As JSON: {"mount": {...}, "files": [...]}. The same figures are in the extended
attribute user.sabrefs.stats of the mount point and of each memory file.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStats(cmd.OutOrStdout(), args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// statsReport is what stats prints as JSON.
type statsReport struct {
	Mount fs.MountReport  `json:"mount"`
	Files []fs.FileReport `json:"files"`
}

func runStats(out io.Writer, mountPoint string, asJSON bool) error {
	point, mounted, err := fs.LocateMount(mountPoint)
	if err != nil {
		return err
	}
	if !mounted {
		return usageError{fmt.Errorf("%s: no store is mounted there", mountPoint)}
	}
	report := statsReport{Files: []fs.FileReport{}}
	if err := readAttribute(point, &report.Mount); err != nil {
		return err
	}
	for _, name := range report.Mount.Names {
		var file fs.FileReport
		err := readAttribute(filepath.Join(point, name), &file)
		if errors.Is(err, unix.ENOENT) { // removed from the store
			continue
		}
		if err != nil {
			return err
		}
		report.Files = append(report.Files, file)
	}
	if asJSON {
		return printJSON(out, report)
	}
	return report.print(out)
}

// readAttribute decodes the attribute of a path. It may grow between two calls.
func readAttribute(path string, value any) error {
	const maxAttributeBytes = 64 << 10 // of the kernel
	b := make([]byte, maxAttributeBytes)
	n, err := unix.Getxattr(path, statsAttribute, b)
	if err != nil {
		return fmt.Errorf("reading the counts of %s: %w", path, err)
	}
	if err := json.Unmarshal(b[:n], value); err != nil {
		return fmt.Errorf("counts of %s: %w", path, err)
	}
	return nil
}

func (r statsReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	m := r.Mount
	fmt.Fprintf(w, "mount\t%s of %s, prefetch %s, %s of its budget left\n", m.MountPoint, m.Store, m.Prefetch, humanBytes(m.BudgetLeftBytes))
	fmt.Fprintf(w, "reads\t%d, %s; %d failed; %d writes refused\n", m.Reads, humanBytes(m.ReadBytes), m.FailedReads, m.RefusedWrites)
	fmt.Fprintf(w, "pushes\t%d, %s; %d failed\n", m.Pushes, humanBytes(m.PushedBytes), m.FailedPushes)
	if m.OmittedNames > 0 {
		fmt.Fprintf(w, "omitted\t%d files\n", m.OmittedNames)
	}
	for _, f := range r.Files {
		printFileStats(w, f)
	}
	return w.Flush()
}

func printFileStats(w io.Writer, f fs.FileReport) {
	fmt.Fprintf(w, "\n%s\t%d opens, %d now; %d reads, %s; %d failed\n", f.Name, f.Opens, f.Users, f.Reads, humanBytes(f.ReadBytes), f.FailedReads)
	for _, source := range []string{"zero", "cache", "prefetch", "decode"} {
		if l := f.Demand[source]; l.Count > 0 {
			fmt.Fprintf(w, "  from %s\t%d reads, mean %v%s\n", source, l.Count, meanOf(l), slowest(l))
		}
	}
	if p := f.Prefetch; p != nil {
		fmt.Fprintf(w, "  prefetch\t%s, working set from %s, %.1f ms\n", p.State, p.Set, 1e3*p.WallSeconds)
		fmt.Fprintf(w, "  pages\t%d planned, %d pushed, %d used, %d late, %d evicted, %d gap, %d rest, %d wasted\n",
			p.Planned, p.Pushed, p.Used, p.Late, p.Evicted, p.Gap, p.Rest, p.Wasted)
		fmt.Fprintf(w, "  read\t%s in %.1f ms\n", humanBytes(p.ReadBytes), 1e3*p.ReadSeconds)
		fmt.Fprintf(w, "  decoded\t%s, %d frames in %.1f ms; %d frames could not be\n", humanBytes(p.DecodedBytes), p.Frames, 1e3*p.DecodeSeconds, p.BadFrames)
		fmt.Fprintf(w, "  pushed\t%s, %d calls in %.1f ms; %d failed\n", humanBytes(p.PushedBytes), p.PushCalls, 1e3*p.PushSeconds, p.FailedPushes)
	}
	if rec := f.Recording; rec != nil {
		state := "ended"
		if rec.Active {
			state = "active"
		}
		fmt.Fprintf(w, "  recording\t%s, %d pages, %s\n", state, rec.Pages, rec.Path)
	}
}

func meanOf(l fs.LatencyReport) time.Duration {
	return time.Duration(l.Seconds / float64(l.Count) * float64(time.Second)).Round(time.Microsecond)
}

// slowest says in which class the slowest read was.
func slowest(l fs.LatencyReport) string {
	for class := len(l.Classes) - 1; class >= 0; class-- {
		switch {
		case l.Classes[class] == 0:
		case class == len(fs.LatencyBounds):
			return fmt.Sprintf(", some over %v", fs.LatencyBounds[class-1])
		default:
			return fmt.Sprintf(", all within %v", fs.LatencyBounds[class])
		}
	}
	return ""
}

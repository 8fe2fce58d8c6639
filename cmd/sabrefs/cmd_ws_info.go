package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
)

func newTraceInfoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info TRACE...",
		Short: "Show what traces are about",
		Long: `Show the image that a trace was recorded from, how much of the guest was touched,
in how many separate address runs, and how soon: by when a quarter, half and so on
of the pages had been touched. If TRACE is a directory, every trace below it is
shown. The exit code is that of the first one that cannot be read.

The digest of the content decides which images a trace fits ("content digest" of
sabrefs inspect). The UUID is that of the image that was mounted.

As JSON: {"traces": [...]}; of one that cannot be read there are path and error.`,
		Args: atLeastOneTrace,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTraceInfo(cmd.OutOrStdout(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// traceRow is what info shows of one trace as JSON.
type traceRow struct {
	Path  string `json:"path"`
	Error string `json:"error,omitempty"`
	*TraceSummary
}

// TraceSummary is what info shows of a trace that could be read. It is exported
// for the JSON decoder, which fills no other embedded structs.
type TraceSummary struct {
	ImageUUID       string         `json:"image_uuid"`
	Digest          string         `json:"digest"`
	RawBytes        int64          `json:"raw_bytes"`
	CreatedAt       *time.Time     `json:"created_at"` // null if unknown
	Runs            uint32         `json:"runs"`
	Pages           int            `json:"pages"`
	TouchedBytes    int64          `json:"touched_bytes"`
	GuestFraction   float64        `json:"guest_fraction"` // of its pages, 0 to 1
	AddressRuns     int            `json:"address_runs"`
	PagesInAllRuns  int            `json:"pages_in_all_runs"`
	LastTouchMicros uint32         `json:"last_touch_us"`
	TouchedBy       []touchedByRow `json:"touched_by"`
}

// touchedByRow says when a part of the pages had been touched.
type touchedByRow struct {
	Percent  int    `json:"percent"`
	Pages    int    `json:"pages"`
	AtMicros uint32 `json:"at_us"`
}

func runTraceInfo(out io.Writer, args []string, asJSON bool) error {
	paths, err := findTraces(args)
	if err != nil {
		return err
	}
	rows := []traceRow{}
	var found imageErrors
	for _, path := range paths {
		row := traceRow{Path: path}
		if t, err := prefetch.ReadFile(path); err != nil {
			row.Error = oneLine(err)
			found = append(found, err)
		} else {
			row.TraceSummary = summarize(t)
		}
		rows = append(rows, row)
	}
	if asJSON {
		err = printJSON(out, map[string]any{"traces": rows})
	} else {
		err = printTraces(out, rows)
	}
	if err != nil {
		return err
	}
	return found.err()
}

func summarize(t *prefetch.Trace) *TraceSummary {
	s := &TraceSummary{
		ImageUUID: t.Image.UUID.String(), Digest: t.Image.Digest.String(), RawBytes: t.RawBytes, Runs: t.Runs,
		Pages: len(t.Touches), TouchedBytes: t.TouchedBytes(), AddressRuns: addressRuns(t.Pages()), TouchedBy: touchedBy(t),
	}
	if !t.CreatedAt.IsZero() {
		s.CreatedAt = &t.CreatedAt
	}
	if t.PageCount() > 0 {
		s.GuestFraction = float64(len(t.Touches)) / float64(t.PageCount())
	}
	if last := len(t.Touches) - 1; last >= 0 {
		s.LastTouchMicros = t.Touches[last].AtMicros
	}
	for _, touch := range t.Touches {
		if touch.Runs == t.Runs {
			s.PagesInAllRuns++
		}
	}
	return s
}

// addressRuns counts the runs of consecutive pages.
func addressRuns(pages []uint32) (runs int) {
	slices.Sort(pages)
	for i, page := range pages {
		if i == 0 || page != pages[i-1]+1 {
			runs++
		}
	}
	return runs
}

// touchedBy returns, for some parts of the pages, when the last of each was
// touched.
func touchedBy(t *prefetch.Trace) []touchedByRow {
	rows := []touchedByRow{}
	if len(t.Touches) == 0 {
		return rows
	}
	for _, percent := range []int{10, 25, 50, 75, 90, 99, 100} {
		pages := (len(t.Touches)*percent + 99) / 100 // rounded up, so at least one
		rows = append(rows, touchedByRow{percent, pages, t.Touches[pages-1].AtMicros})
	}
	return rows
}

func printTraces(out io.Writer, rows []traceRow) error {
	separator := ""
	for _, r := range rows {
		if r.TraceSummary == nil { // the message comes last, on standard error
			continue
		}
		if _, err := fmt.Fprint(out, separator); err != nil {
			return err
		}
		separator = "\n"
		if err := r.print(out); err != nil {
			return err
		}
	}
	return nil
}

func (r traceRow) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	created := "unknown"
	if r.CreatedAt != nil {
		created = r.CreatedAt.Format(time.RFC3339)
	}
	row("trace", "%s", r.Path)
	row("image uuid", "%s", r.ImageUUID)
	row("content digest", "%s", r.Digest)
	row("raw size", "%s (%d)", humanBytes(r.RawBytes), r.RawBytes)
	row("recorded", "%s", created)
	row("runs", "%d", r.Runs)
	row("pages", "%d, %.2f MB, %.2f %% of the guest", r.Pages, float64(r.TouchedBytes)/1e6, 100*r.GuestFraction)
	row("  in all runs", "%d", r.PagesInAllRuns)
	row("address runs", "%d", r.AddressRuns)
	row("last touch", "%s", microsText(r.LastTouchMicros))
	for _, part := range r.TouchedBy {
		row(fmt.Sprintf("  %d %%", part.Percent), "%d pages by %s", part.Pages, microsText(part.AtMicros))
	}
	return w.Flush()
}

// microsText is a time since the recording began.
func microsText(micros uint32) string { return fmt.Sprintf("%.6f s", float64(micros)/1e6) }

package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
	"sabrefs/store"
)

func newTraceDumpCommand() *cobra.Command {
	var asJSON, asRuns bool
	cmd := &cobra.Command{
		Use:   "dump TRACE",
		Short: "Print every page of a trace",
		Long: `Print the pages of a trace in the order of their first touch, one a line: number
of the page, its offset in the memory file, when it was touched, in seconds since
the recording began, and in how many runs it was seen.

With --runs, pages that were touched right after the one below them are one line,
with their number: what could have been read in one piece. Time is then that of
the first, and RUNS the least of any.

As JSON: {"path": ..., "touches": [...]}, and with --runs {"path": ..., "page_runs":
[...]}, times in microseconds.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTraceDump(cmd.OutOrStdout(), args[0], asRuns, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asRuns, "runs", false, "join pages that follow each other")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// touchRow is a page of a trace as JSON.
type touchRow struct {
	Page     uint32 `json:"page"`
	RawOff   int64  `json:"raw_off"`
	AtMicros uint32 `json:"at_us"`
	Runs     uint32 `json:"runs"`
}

// pageRunRow is a run of pages of a trace as JSON.
type pageRunRow struct {
	FirstPage uint32 `json:"first_page"`
	Pages     uint32 `json:"pages"`
	RawOff    int64  `json:"raw_off"`
	AtMicros  uint32 `json:"at_us"`
	Runs      uint32 `json:"runs"`
}

func runTraceDump(out io.Writer, path string, asRuns, asJSON bool) error {
	t, err := prefetch.ReadFile(path)
	if err != nil {
		return err
	}
	switch {
	case asJSON && asRuns:
		return printJSON(out, map[string]any{"path": path, "page_runs": pageRunRows(t)})
	case asJSON:
		return printJSON(out, map[string]any{"path": path, "touches": touchRows(t)})
	case asRuns:
		return printPageRuns(out, pageRunRows(t))
	default:
		return printTouches(out, touchRows(t))
	}
}

func touchRows(t *prefetch.Trace) []touchRow {
	rows := make([]touchRow, len(t.Touches))
	for i, touch := range t.Touches {
		rows[i] = touchRow{touch.Page, int64(touch.Page) * store.PageBytes, touch.AtMicros, touch.Runs}
	}
	return rows
}

func pageRunRows(t *prefetch.Trace) []pageRunRow {
	rows := []pageRunRow{}
	touches := t.Touches
	for _, run := range t.PageRuns() {
		row := pageRunRow{run.FirstPage, run.PageCount, int64(run.FirstPage) * store.PageBytes, touches[0].AtMicros, touches[0].Runs}
		for _, touch := range touches[:run.PageCount] {
			row.Runs = min(row.Runs, touch.Runs)
		}
		rows = append(rows, row)
		touches = touches[run.PageCount:]
	}
	return rows
}

// printTouches writes columns of a fixed width: a tabwriter would keep millions
// of lines in memory to find it. What cannot be written, Flush reports.
func printTouches(out io.Writer, rows []touchRow) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%10s  %14s  %11s  %5s\n", "PAGE", "RAW OFFSET", "SECONDS", "RUNS")
	for _, r := range rows {
		fmt.Fprintf(w, "%10d  %#14x  %11.6f  %5d\n", r.Page, r.RawOff, float64(r.AtMicros)/1e6, r.Runs)
	}
	return w.Flush()
}

func printPageRuns(out io.Writer, rows []pageRunRow) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%10s  %8s  %14s  %11s  %5s\n", "FIRST PAGE", "PAGES", "RAW OFFSET", "SECONDS", "RUNS")
	for _, r := range rows {
		fmt.Fprintf(w, "%10d  %8d  %#14x  %11.6f  %5d\n", r.FirstPage, r.Pages, r.RawOff, float64(r.AtMicros)/1e6, r.Runs)
	}
	return w.Flush()
}

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// faultFlags are the options of fault.
type faultFlags struct {
	trace, input, sabrefs, workDir, advice string
	runs                                   int
	json                                   bool
}

func newFaultCommand() *cobra.Command {
	var flags faultFlags
	cmd := &cobra.Command{
		Use:   "fault --trace TRACE --input MEMORY_FILE",
		Short: "Replay a recorded working set on a mapping, with and without prefetch",
		Long: `Map a memory file privately, in a process of its own, and touch the pages of a
trace in the recorded order, timing each: on the raw file, on a mount without
prefetch, on a mount of an image that was laid out by the trace, and on EROFS with
lz4 and lz4hc; in turn, with cold caches. The bytes must be those of the raw file.

A guest does something between two faults, this replay does not: prefetch has less
of a lead here than it has under a VMM.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runFault(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.trace, "trace", "", "trace of a working set (required)")
	f.StringVar(&flags.input, "input", "", "memory file that it was recorded from (required)")
	f.StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for the images (default: a temporary one)")
	f.StringVar(&flags.advice, "advice", "normal", "madvise of the mapping: random, normal or hugepage (as QEMU's)")
	f.IntVar(&flags.runs, "runs", 7, "rounds of measurements")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("trace")
	_ = cmd.MarkFlagRequired("input")
	return cmd
}

// faultRow is the result of one side: medians, and of the total also the least and
// the greatest. The greatest latency is the median of the rounds' greatest.
type faultRow struct {
	Name       string  `json:"name"`
	SizeBytes  int64   `json:"size_bytes"`
	Pages      int     `json:"pages"`
	TotalMS    float64 `json:"total_ms"`
	TotalMinMS float64 `json:"total_min_ms"`
	TotalMaxMS float64 `json:"total_max_ms"`
	MeanUS     float64 `json:"mean_us"`
	P50US      float64 `json:"p50_us"`
	P99US      float64 `json:"p99_us"`
	MaxUS      float64 `json:"max_us"`

	reports []touchReport
}

func runFault(ctx context.Context, out, log io.Writer, flags faultFlags) error {
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return err
	}
	c, err := newFaultComparison(sabrefs, flags, log)
	if err != nil {
		return err
	}
	var rows []faultRow
	err = inWorkDir(flags.workDir, func(dir string) error {
		c.dir = dir
		rows, err = c.replay(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return printResult(out, rows, flags.json, printFault)
}

func newFaultComparison(sabrefs sabrefsBinary, flags faultFlags, log io.Writer) (*comparison, error) {
	advice, ok := advices[flags.advice]
	if !ok {
		return nil, fmt.Errorf("advice %q: expected random, normal or hugepage", flags.advice)
	}
	if flags.runs < 1 {
		return nil, fmt.Errorf("%d runs: expected at least one", flags.runs)
	}
	pages, err := readTracePages(flags.trace)
	if err != nil {
		return nil, err
	}
	crc, err := pagesCRC(flags.input, pages)
	if err != nil {
		return nil, err
	}
	c := &comparison{
		flags: peersFlags{input: flags.input, runs: flags.runs}, log: log,
		peers: faultPeers(sabrefs, flags.trace), pages: encodePageNumbers(pages), advice: advice,
		rawCRC: crc, keptWarm: []string{string(sabrefs)},
	}
	c.rows = make([]peerRow, len(c.peers))
	return c, nil
}

func faultPeers(sabrefs sabrefsBinary, trace string) []peer {
	return []peer{
		{name: "raw file", pack: packRaw, mount: linkRaw, unmount: unlinkRaw},
		sabrefsPeerMounted(sabrefs, "sabrefs --prefetch none", []string{"--prefetch", "none"}),
		sabrefsPeer(sabrefs, "sabrefs, working set", "--working-set", trace),
		erofsPeer("erofs lz4hc,9 64K", "-zlz4hc,9", "-C65536"),
		erofsPeer("erofs lz4 64K", "-zlz4", "-C65536"),
	}
}

// replay packs once and then touches the pages on every side in turn.
func (c *comparison) replay(ctx context.Context) ([]faultRow, error) {
	if err := c.packAll(ctx); err != nil {
		return nil, err
	}
	rows := make([]faultRow, len(c.peers))
	for round := range c.flags.runs {
		for i, p := range c.peers {
			fmt.Fprintf(c.log, "round %d of %d: %s\n", round+1, c.flags.runs, p.name)
			report, err := c.onColdMount(ctx, i, c.pages, touchFaults, c.mountedFile(), strconv.Itoa(c.advice))
			if err == nil && report.CRC32 != c.rawCRC {
				err = errOtherBytes
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			rows[i].reports = append(rows[i].reports, report)
		}
	}
	for i := range rows {
		rows[i].Name, rows[i].SizeBytes = c.peers[i].name, c.rows[i].SizeBytes
		rows[i].finish()
	}
	return rows, nil
}

func (r *faultRow) finish() {
	figures := func(of func(touchReport) float64) (list []float64) {
		for _, report := range r.reports {
			list = append(list, of(report))
		}
		return list
	}
	r.Pages = r.reports[0].Pages
	r.TotalMS, r.TotalMinMS, r.TotalMaxMS = spread(figures(func(t touchReport) float64 { return t.Seconds * 1e3 }))
	r.MeanUS, _, _ = spread(figures(func(t touchReport) float64 { return t.MeanUS }))
	r.P50US, _, _ = spread(figures(func(t touchReport) float64 { return t.P50US }))
	r.P99US, _, _ = spread(figures(func(t touchReport) float64 { return t.P99US }))
	r.MaxUS, _, _ = spread(figures(func(t touchReport) float64 { return t.MaxUS }))
}

func printFault(out io.Writer, rows []faultRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "side\tsize MB\tpages\ttotal ms\t(min-max)\tmean us\tp50\tp99\tmax\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.1f\t%d\t%.1f\t(%.1f-%.1f)\t%.1f\t%.1f\t%.1f\t%.0f\t\n", r.Name, float64(r.SizeBytes)/1e6, r.Pages,
			r.TotalMS, r.TotalMinMS, r.TotalMaxMS, r.MeanUS, r.P50US, r.P99US, r.MaxUS)
	}
	return w.Flush()
}

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
	"sabrefs/store"
)

func newTraceDiffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare the working sets of two traces",
		Long: `Compare two traces of the same content (else exit code 9). The exit code is 0
however much they differ.

The Jaccard index is the number of pages in both as a part of those in either: 1
for equal sets, 0 for sets with nothing in common. Order is Spearman's rank
correlation of the orders in which the common pages were touched: 1 for the same
order, 0 for unrelated ones, -1 for the reverse.`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTraceDiff(cmd.OutOrStdout(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// diffRow is the result of ws diff as JSON.
type diffRow struct {
	A                string  `json:"a"`
	B                string  `json:"b"`
	PagesA           int     `json:"pages_a"`
	PagesB           int     `json:"pages_b"`
	Common           int     `json:"common_pages"`
	OnlyA            int     `json:"only_a_pages"`
	OnlyB            int     `json:"only_b_pages"`
	Jaccard          float64 `json:"jaccard"`
	OrderCorrelation float64 `json:"order_correlation"`
}

func runTraceDiff(out io.Writer, paths []string, asJSON bool) error {
	traces, err := readTracesOfOneImage(paths)
	if err != nil {
		return err
	}
	c, err := prefetch.Compare(traces[0], traces[1])
	if err != nil {
		return err
	}
	row := diffRow{
		A: paths[0], B: paths[1], PagesA: len(traces[0].Touches), PagesB: len(traces[1].Touches),
		Common: c.Common, OnlyA: c.OnlyA, OnlyB: c.OnlyB, Jaccard: c.Jaccard(), OrderCorrelation: c.OrderCorrelation,
	}
	if asJSON {
		return printJSON(out, row)
	}
	return row.print(out)
}

func (r diffRow) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	pages := func(name string, n int, path string) {
		fmt.Fprintf(w, "%s\t%d pages\t%s\t%s\n", name, n, humanBytes(int64(n)*store.PageBytes), path)
	}
	pages("A", r.PagesA, r.A)
	pages("B", r.PagesB, r.B)
	pages("in both", r.Common, "")
	pages("only in A", r.OnlyA, "")
	pages("only in B", r.OnlyB, "")
	fmt.Fprintf(w, "Jaccard index\t%.4f\n", r.Jaccard)
	fmt.Fprintf(w, "order\t%.4f\n", r.OrderCorrelation)
	return w.Flush()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newOpenCommand() *cobra.Command {
	var sabrefs, workDir string
	var runs int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "open",
		Short: "Time opening images of 64 MiB and of 64 GiB",
		Long: `Pack sparse memory files of 64 MiB and 64 GiB, both with some data all over, and
time opening the images, in turn and with cold caches. The time includes reading
one page.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inWorkDir(workDir, func(dir string) error {
				rows, err := measureOpen(cmd.Context(), sabrefs, dir, runs)
				if err != nil {
					return err
				}
				return printResult(cmd.OutOrStdout(), rows, asJSON, printOpen)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&workDir, "work-dir", "", "directory for the images (default: a temporary one)")
	f.IntVar(&runs, "runs", 11, "rounds of measurements")
	f.BoolVar(&asJSON, "json", false, `print {"rows": [...]}`)
	return cmd
}

// openRow is the result for one image.
type openRow struct {
	RawBytes    int64   `json:"raw_bytes"`
	PackedBytes int64   `json:"packed_bytes"`
	TableBytes  int64   `json:"table_bytes"`
	OpenMS      float64 `json:"open_ms"`
	OpenMinMS   float64 `json:"open_min_ms"`
	OpenMaxMS   float64 `json:"open_max_ms"`

	path  string
	times []float64
}

func measureOpen(ctx context.Context, given, dir string, runs int) ([]openRow, error) {
	if runs < 1 {
		return nil, fmt.Errorf("%d runs: expected at least one", runs)
	}
	sabrefs, err := findSabrefs(given)
	if err != nil {
		return nil, err
	}
	rows := []openRow{{RawBytes: 64 << 20}, {RawBytes: 64 << 30}}
	for i := range rows {
		if err := rows[i].pack(ctx, sabrefs, dir); err != nil {
			return nil, err
		}
	}
	for range runs {
		for i := range rows {
			if err := rows[i].open(ctx); err != nil {
				return nil, err
			}
		}
	}
	for i := range rows {
		rows[i].OpenMS, rows[i].OpenMinMS, rows[i].OpenMaxMS = spread(rows[i].times)
	}
	return rows, nil
}

// pack makes a sparse file, with data on 1024 pages spread over all of it, and
// packs it.
func (r *openRow) pack(ctx context.Context, sabrefs sabrefsBinary, dir string) error {
	raw := filepath.Join(dir, "raw")
	if err := writeSparse(raw, r.RawBytes); err != nil {
		return err
	}
	r.path = filepath.Join(dir, fmt.Sprintf("%d.sabre", r.RawBytes))
	if _, err := sabrefs.run(ctx, "pack", raw, r.path); err != nil {
		return err
	}
	h, err := store.ReadHeader(r.path)
	r.PackedBytes, r.TableBytes = h.FileBytes, h.TableBytes()
	return errors.Join(err, os.Remove(raw))
}

func writeSparse(path string, rawBytes int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	const dataPages = 1024
	err = file.Truncate(rawBytes)
	for i := range int64(dataPages) {
		text := fmt.Sprintf("page %d of a file of %d bytes", i, rawBytes)
		_, writeErr := file.WriteAt([]byte(text), i*(rawBytes/dataPages)/pageBytes*pageBytes)
		err = errors.Join(err, writeErr)
	}
	return errors.Join(err, file.Close())
}

// open times one cold open.
func (r *openRow) open(ctx context.Context) error {
	if err := dropCaches(ctx, r.path); err != nil {
		return err
	}
	begin := time.Now()
	img, err := store.Open(r.path, store.OpenOptions{})
	if err != nil {
		return err
	}
	var ref [1]store.PageRef
	err = img.Pages(r.RawBytes/2/pageBytes, ref[:])
	r.times = append(r.times, float64(time.Since(begin).Nanoseconds())/1e6)
	return errors.Join(err, img.Close())
}

func printOpen(out io.Writer, rows []openRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "raw MiB\tpacked bytes\ttables bytes\topen ms\t(min-max)\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%d\t%d\t%.2f\t(%.2f-%.2f)\t\n", r.RawBytes>>20, r.PackedBytes, r.TableBytes, r.OpenMS, r.OpenMinMS, r.OpenMaxMS)
	}
	return w.Flush()
}

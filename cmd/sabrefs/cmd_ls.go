package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls STORE",
		Short: "List the images of a store",
		Long: `List the images below a directory with their sizes, by the names their memory
files have in a mount. Only headers are read: use verify to check the content.
An image whose header cannot be read is listed without sizes, and the exit code
is that of the first one.

As JSON: {"images": [...]}.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runList(cmd.OutOrStdout(), args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// listRow is one image of a store as JSON.
type listRow struct {
	Name        string    `json:"name"` // in a mount of the store
	RawBytes    int64     `json:"raw_bytes"`
	PackedBytes int64     `json:"packed_bytes"`
	Ratio       float64   `json:"ratio"`
	UUID        string    `json:"uuid"`
	CreatedAt   time.Time `json:"created_at"`
	Error       string    `json:"error,omitempty"`
}

func runList(out io.Writer, dir string, asJSON bool) error {
	images, err := findImages(dir)
	if err != nil && !errors.Is(err, store.ErrNotImage) { // an empty store is an empty list
		return err
	}
	rows := []listRow{}
	var found imageErrors
	for _, path := range images {
		row, err := newListRow(dir, path)
		if err != nil {
			found = append(found, err)
		}
		rows = append(rows, row)
	}
	if asJSON {
		err = printJSON(out, map[string]any{"images": rows})
	} else {
		err = printList(out, rows)
	}
	if err != nil {
		return err
	}
	return found.err()
}

func newListRow(dir, path string) (listRow, error) {
	row := listRow{Name: mountedName(dir, path)}
	h, err := store.ReadHeader(path)
	if err != nil {
		row.Error = oneLine(err)
		return row, err
	}
	row.RawBytes, row.PackedBytes, row.Ratio = h.RawBytes, h.FileBytes, ratio(h.RawBytes, h.FileBytes)
	row.UUID, row.CreatedAt = h.UUID.String(), h.CreatedAt
	return row, nil
}

// mountedName is the path of a memory file in a mount of dir.
func mountedName(dir, image string) string {
	name, err := filepath.Rel(dir, image)
	if err != nil || name == "." { // dir is itself an image
		name = filepath.Base(image)
	}
	return strings.TrimSuffix(name, store.ImageSuffix)
}

func printList(out io.Writer, rows []listRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tRAW\tPACKED\tRATIO\tCREATED\tUUID")
	for _, r := range rows {
		if r.Error != "" {
			fmt.Fprintf(w, "%s\t-\t-\t-\t-\tunreadable\n", r.Name)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%s\t%s\n", r.Name, humanBytes(r.RawBytes), humanBytes(r.PackedBytes),
			r.Ratio, r.CreatedAt.Format(time.DateTime), r.UUID)
	}
	return w.Flush()
}

func sortedCodecs(codecs map[string]codecReport) []string { return slices.Sorted(maps.Keys(codecs)) }

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
	var flags listFlags
	cmd := &cobra.Command{
		Use:   "ls STORE",
		Short: "List the images of a store",
		Long: `List the images below a directory with their sizes, by the names their memory
files have in a mount. Only headers are read: use verify to check the content.
An image whose header cannot be read is listed without sizes, and the exit code
is that of the first one.

With --tree, images are listed below the parents that they are packed against, with
the number of their ancestors. What is marked as stale has a parent that was written
anew since (sabrefs repack, flatten): it reads as before, but looking pages up takes
longer, until sabrefs rebase. An image whose parent is missing, or another one, is
listed at the top; the exit code is that of the first such finding, too.

As JSON: {"images": [...]}, with --tree in the order of the tree. "parent" is null for
an image that stands alone; its name, and whether it is stale or missing, are looked
for with --tree only.`,
		Example: `  sabrefs ls /store
  sabrefs ls --tree /store
  sabrefs ls --tree --parent-dir /archive /store`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.tree {
				return runTree(cmd.OutOrStdout(), args[0], flags)
			}
			return runList(cmd.OutOrStdout(), args[0], flags.json)
		},
	}
	cmd.Flags().BoolVar(&flags.tree, "tree", false, "show which image is packed against which")
	flags.dirs.add(cmd.Flags())
	cmd.Flags().BoolVar(&flags.json, "json", false, "print as JSON")
	return cmd
}

// listFlags are the options of ls.
type listFlags struct {
	tree bool
	dirs parentFlags
	json bool
}

// listRow is one image of a store as JSON.
type listRow struct {
	Name        string     `json:"name"` // in a mount of the store
	RawBytes    int64      `json:"raw_bytes"`
	PackedBytes int64      `json:"packed_bytes"`
	Ratio       float64    `json:"ratio"`
	UUID        string     `json:"uuid"`
	Digest      string     `json:"digest"`
	CreatedAt   time.Time  `json:"created_at"`
	Depth       int        `json:"depth"` // how many ancestors it has
	Parent      *parentRow `json:"parent"`
	Error       string     `json:"error,omitempty"`
}

func runList(out io.Writer, dir string, asJSON bool) error {
	images, err := imagesOfStore(dir)
	if err != nil {
		return err
	}
	rows := []listRow{}
	var found imageErrors
	for _, path := range images {
		row, _, err := newListRow(dir, path)
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

// imagesOfStore is findImages for a store, which may be empty.
func imagesOfStore(dir string) ([]string, error) {
	images, err := findImages(dir)
	if err != nil && !errors.Is(err, store.ErrNotImage) {
		return nil, err
	}
	return images, nil
}

func newListRow(dir, path string) (listRow, store.ParentRef, error) {
	row := listRow{Name: mountedName(dir, path)}
	h, ref, err := store.ReadParentRef(path)
	if err != nil {
		row.Error = oneLine(err)
		return row, ref, err
	}
	row.RawBytes, row.PackedBytes, row.Ratio = h.RawBytes, h.FileBytes, ratio(h.RawBytes, h.FileBytes)
	row.UUID, row.Digest, row.CreatedAt = h.UUID.String(), h.Digest.String(), h.CreatedAt
	row.Depth, row.Parent = h.Depth, newParentRow(&h, ref)
	return row, ref, nil
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

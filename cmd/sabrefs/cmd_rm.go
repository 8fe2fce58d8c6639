package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newRemoveCommand() *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "rm STORE NAME...",
		Short: "Remove images that no other image needs",
		Long: `Remove images from a store. NAME is that of one memory file, as sabrefs ls shows it,
or of a directory of the store, such as a packed snapshot, which is removed with all
that is in it. A directory disappears at once. VMs that run keep what they have open.

An image that another image of the store is packed against is not removed (exit code
14), unless that one is removed with the same command, or with --force; it could not
be read afterwards. An image whose parent is not where it was needs every image with
the content of that parent. An image that cannot be read might need anything. What
needs an image and is outside of STORE, nobody sees. Nothing is removed before all
names were found to be right. While an image is being packed against one of them, they
are in use (exit code 6).

To remove an image and keep what is packed against it: sabrefs flatten.

As JSON: {"removed": [...], "orphans": [...]}; orphans are the images that needed what
--force removed.`,
		Example: `  sabrefs rm /store python-2/mem_file
  sabrefs rm /store python python-2 python-3
  sabrefs rm --force /store python`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("expected at least 2 arguments, got %d; usage: %s", len(args), cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRemove(cmd.Context(), cmd.OutOrStdout(), args[0], args[1:], force, asJSON)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove also what other images need")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// removedRow is what is gone, as JSON.
type removedRow struct {
	Name        string `json:"name"`
	Images      int    `json:"images"`
	PackedBytes int64  `json:"packed_bytes"`
}

func runRemove(ctx context.Context, out io.Writer, dir string, names []string, force, asJSON bool) error {
	result, err := store.Remove(ctx, dir, names, store.RemoveOptions{Force: force})
	rows, orphans := []removedRow{}, []string{}
	for _, r := range result.Removed {
		rows = append(rows, removedRow{r.Name, r.Images, r.PackedBytes})
	}
	for _, path := range result.Orphans {
		orphans = append(orphans, mountedName(dir, path))
	}
	if len(rows) == 0 {
		return err
	}
	if printErr := printRemoved(out, rows, orphans, asJSON); err == nil {
		err = printErr
	}
	return err
}

func printRemoved(out io.Writer, rows []removedRow, orphans []string, asJSON bool) error {
	if asJSON {
		return printJSON(out, map[string]any{"removed": rows, "orphans": orphans})
	}
	for _, r := range rows {
		what := "1 image"
		if r.Images != 1 {
			what = fmt.Sprintf("%d images", r.Images)
		}
		if _, err := fmt.Fprintf(out, "%s: removed, %s, %s\n", r.Name, what, humanBytes(r.PackedBytes)); err != nil {
			return err
		}
	}
	for _, name := range orphans {
		if _, err := fmt.Fprintf(out, "%s: it needed what is gone, and cannot be read without it\n", name); err != nil {
			return err
		}
	}
	return nil
}

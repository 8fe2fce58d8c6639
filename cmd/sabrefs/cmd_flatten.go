package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newFlattenCommand() *cobra.Command {
	var flags anewFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flatten IMAGE|STORE/NAME...",
		Short: "Make images independent of their parents",
		Long: `Write an image that has a parent anew, with all of its pages, so that the parent is
not needed any more. A directory stands for all images below it. Images without a
parent are left alone.

The content stays the same; it is compared with the digest of the old image before
the new one takes its place. A flatten that fails or is killed leaves the old image.
What is packed against an image stays good when that is flattened: the content is what
counts. It reads more slowly from then on, until sabrefs rebase.

Flatten where chains grow too long (at most 256 parents), where a parent is to be
removed, and what is to be given to somebody else. Nothing has to be unmounted: an image
that is replaced is a new file, and running VMs keep the old one. The disk needs room
for both until then.

As JSON, an image is one object; several, or a directory, are {"images": [...],
"left_alone": [...]}.`,
		Example: `  sabrefs flatten /store/python-2/mem_file.sabre
  sabrefs flatten /store/python-2 /store/python-3
  sabrefs flatten --level best --codec zstd --parent-dir /archive /store/python-2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("expected at least 1 argument, got 0; usage: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opt, err := flags.options()
			if err != nil {
				return err
			}
			// a parent that becomes another file first would slow its children down
			images, isList, err := imagesAnew(args, true)
			if err != nil {
				return err
			}
			job := anewJob{doing: "flattening", write: store.FlattenFile, json: asJSON}
			return job.run(cmd.Context(), cmd.OutOrStdout(), images, isList, opt)
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newVerifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify PATH",
		Short: "Check every byte of an image, a snapshot or a store",
		Long: `Check an image, or every image below a directory: each frame is decoded and
compared with its checksum, each table entry checked, and the digest of the
memory compared with the one recorded when it was packed. DEFLATE frames are also
decoded by a model of Intel IAA, which is stricter than DEFLATE; what a device
would refuse is decoded in software, and is no error. Damage in one image does not
stop the others from being checked; the exit code is that of the first finding.

As JSON: {"images": [...]}, each with "ok" and, if that is false, "error".`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), cmd.OutOrStdout(), args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	return cmd
}

// verifyRow is the finding about one image as JSON.
type verifyRow struct {
	Path  string `json:"path"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	store.VerifyResult
}

func runVerify(ctx context.Context, out io.Writer, path string, asJSON bool) error {
	images, err := findImages(path)
	if err != nil {
		return err
	}
	var rows []verifyRow
	var found imageErrors
	for _, image := range images {
		result, err := verifyImage(ctx, image)
		if ctx.Err() != nil {
			return err
		}
		row := verifyRow{Path: image, OK: err == nil, VerifyResult: result}
		if err != nil {
			row.Error = oneLine(err)
			found = append(found, err)
		}
		rows = append(rows, row)
		if err == nil && !asJSON {
			if _, err := fmt.Fprintln(out, row.summary()); err != nil {
				return err
			}
		}
	}
	if asJSON {
		if err := printJSON(out, map[string]any{"images": rows}); err != nil {
			return err
		}
	}
	return found.err()
}

// summary is one line about an intact image.
func (r verifyRow) summary() string {
	line := fmt.Sprintf("%s: ok, %s in %d frames", r.Path, humanBytes(r.RawBytes), r.Frames)
	if r.DeflateFrames > 0 {
		line += fmt.Sprintf("; an accelerator reads %d of %d DEFLATE frames", r.AcceleratorFrames, r.DeflateFrames)
	}
	return line
}

func verifyImage(ctx context.Context, path string) (store.VerifyResult, error) {
	img, err := store.Open(path, store.OpenOptions{})
	if err != nil {
		return store.VerifyResult{}, err
	}
	report, finish := progressBar("verifying", img.RawBytes())
	result, err := img.Verify(ctx, report)
	finish()
	return result, errors.Join(err, img.Close())
}

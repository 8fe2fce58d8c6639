package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newVerifyCommand() *cobra.Command {
	var asJSON bool
	var dirs parentFlags
	cmd := &cobra.Command{
		Use:   "verify PATH",
		Short: "Check every byte of an image, a snapshot or a store",
		Long: `Check an image, or every image below a directory: each frame is decoded and
compared with its checksum, each table entry checked, and the digest of the
memory compared with the one recorded when it was packed. DEFLATE frames are also
decoded by a model of Intel IAA, which is stricter than DEFLATE; what a device
would refuse is decoded in software, and is no error. Damage in one image does not
stop the others from being checked; the exit code is that of the first finding.

The parents of an image are checked before it, wherever they are, each file once. An
image is damaged if a page that it inherits is; if it does without the damaged pages
of a parent, it is not.

As JSON: {"images": [...]}, each with "ok" and, if that is false, "error".`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			parents, err := dirs.finder()
			if err != nil {
				return err
			}
			v := verifier{parents: parents, out: cmd.OutOrStdout(), json: asJSON, seen: map[fileID]bool{}}
			return v.run(cmd.Context(), args[0])
		},
	}
	dirs.add(cmd.Flags())
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

// verifier checks images and their parents, each once.
type verifier struct {
	parents *store.Parents
	out     io.Writer
	json    bool

	seen  map[fileID]bool
	rows  []verifyRow
	found imageErrors
}

func (v *verifier) run(ctx context.Context, path string) error {
	images, err := findImages(path)
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := v.visitChain(ctx, image); err != nil {
			return err
		}
	}
	if v.json {
		if err := printJSON(v.out, map[string]any{"images": v.rows}); err != nil {
			return err
		}
	}
	return v.found.err()
}

// visitChain checks an image after its parents, so that what is told first is where
// damage comes from. It returns only what ends the command.
func (v *verifier) visitChain(ctx context.Context, image string) error {
	var chain []string
	for path := range ancestry(image, v.parents) {
		id, err := fileIDOf(path)
		if err == nil && v.seen[id] {
			break // and so are its parents
		}
		if err == nil {
			v.seen[id] = true
		}
		chain = append(chain, path)
	}
	for _, path := range slices.Backward(chain) {
		if err := v.check(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) check(ctx context.Context, image string) error {
	result, err := verifyImage(ctx, image, v.parents)
	if ctx.Err() != nil {
		return err
	}
	row := verifyRow{Path: image, OK: err == nil, VerifyResult: result}
	if err != nil {
		row.Error = oneLine(err)
		v.found = append(v.found, err)
	}
	v.rows = append(v.rows, row)
	if err == nil && !v.json {
		_, err = fmt.Fprintln(v.out, row.summary())
		return err
	}
	return nil
}

// summary is one line about an intact image.
func (r verifyRow) summary() string {
	line := fmt.Sprintf("%s: ok, %s in %d frames", r.Path, humanBytes(r.RawBytes), r.Frames)
	if r.DeflateFrames > 0 {
		line += fmt.Sprintf("; an accelerator reads %d of %d DEFLATE frames", r.AcceleratorFrames, r.DeflateFrames)
	}
	return line
}

func verifyImage(ctx context.Context, path string, parents *store.Parents) (store.VerifyResult, error) {
	img, err := store.Open(path, store.OpenOptions{Parents: parents})
	if err != nil {
		return store.VerifyResult{}, ofChild(path, err)
	}
	report, finish := progressBar("verifying", img.RawBytes())
	result, err := img.Verify(ctx, report)
	finish()
	return result, errors.Join(ofChild(path, err), img.Close())
}

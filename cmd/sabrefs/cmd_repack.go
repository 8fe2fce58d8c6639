package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// repackFlags are the options of repack.
type repackFlags struct {
	workingSet   string
	noWorkingSet bool
	anewFlags
	json bool
}

func newRepackCommand() *cobra.Command {
	var flags repackFlags
	cmd := &cobra.Command{
		Use:   "repack STORE|IMAGE",
		Short: "Lay images out anew, by their working sets",
		Long: `Write an image, or every image below a directory, anew: what a guest touches
when it resumes comes first, in the order in which it is touched, so that one
sequential read brings it. The content stays the same; it is compared with the
digest of the old image before the new one takes its place. A repack that fails or
is killed leaves the old image.

--working-set names what ` + "`sabrefs mount --record`" + ` has written: a trace file, for one
image, or a directory, in which guest/mem_file.ws is the trace of the image
guest/mem_file.sabre. Images without a trace are left alone. A trace of other
content is refused before anything is written. Without --working-set, every image
keeps the working set that it has; --no-working-set drops it.

With --codec keep and without --frame-size, frames that have no page of the
working set are taken over as they are. --level is for the pages that are
compressed again; keep is best for images that look as if ` + "`pack --level best`" + `
had made them, with zstd in frames of 128K, and default for all others. With a codec
or a frame size, all pages are compressed again, and keep is default. --hot-codec
auto is deflate where an accelerator is in use, else lz4, at its densest unless the
level is fast.

An image with a parent keeps it, and what is packed against an image stays good when
that is repacked: the content is what counts. It reads more slowly from then on, until
sabrefs rebase.

Nothing has to be unmounted: an image that is replaced is a new file, and running
VMs keep the old one. The disk needs room for both until then.

As JSON, an image is one object; a directory is {"images": [...], "left_alone":
[...]}.`,
		Example: `  sabrefs mount --record /traces /store /mnt/snapshots
  ...
  sabrefs repack --working-set /traces /store
  sabrefs repack --working-set python.ws /store/python/mem_file.sabre`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepack(cmd.Context(), cmd.OutOrStdout(), args[0], flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.workingSet, "working-set", "", "trace file, or directory of traces")
	f.BoolVar(&flags.noWorkingSet, "no-working-set", false, "drop the working sets that images have")
	flags.anewFlags.add(f)
	f.BoolVar(&flags.json, "json", false, "print the result as JSON")
	return cmd
}

// options turns flags into options of the store.
func (flags repackFlags) options() (store.PackOptions, error) {
	opt, err := flags.anewFlags.options()
	if err != nil {
		return opt, err
	}
	if flags.noWorkingSet {
		if flags.workingSet != "" {
			return opt, usageError{errors.New("--no-working-set and --working-set exclude each other")}
		}
		opt.WorkingSet = []store.PageRun{}
	}
	return opt, nil
}

func runRepack(ctx context.Context, out io.Writer, path string, flags repackFlags) error {
	opt, err := flags.options()
	if err != nil {
		return err
	}
	plan, err := planRepack(path, flags.workingSet)
	if err != nil {
		return err
	}
	var found imageErrors
	for i := range plan.images {
		image := &plan.images[i]
		if err := image.repack(ctx, opt); ctx.Err() != nil {
			return err
		} else if err != nil {
			found = append(found, err)
		} else if !flags.json {
			if err := image.row.print(out); err != nil {
				return err
			}
		}
	}
	if err := plan.print(out, flags.json); err != nil {
		return err
	}
	return found.err()
}

// repackPlan is what is to be written anew, and later what was.
type repackPlan struct {
	isDir     bool
	images    []repackImage
	leftAlone []string
}

// repackImage is an image that is to be written anew.
type repackImage struct {
	path   string
	header store.Header
	trace  *prefetch.Trace // nil: the image keeps its working set
	done   bool
	row    repackRow
}

// planRepack finds the images and reads their traces. If one is not what it should
// be, nothing has been written yet.
func planRepack(path, workingSet string) (*repackPlan, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	recorded, err := openTraces(workingSet)
	if err != nil {
		return nil, err
	}
	images, err := findImages(path)
	if err != nil {
		return nil, err
	}
	if recorded != nil && !recorded.isDir && len(images) > 1 {
		return nil, usageError{fmt.Errorf("%s has %d images, and %s is the trace of one; name the image, or give a directory of traces", path, len(images), workingSet)}
	}
	plan := &repackPlan{isDir: info.IsDir()}
	var found imageErrors
	for _, image := range images {
		if err := plan.add(path, image, recorded); err != nil {
			found = append(found, err)
		}
	}
	if len(found) == 0 && len(plan.images) == 0 {
		return nil, fmt.Errorf("%s: it has no trace of any image below %s: %w", workingSet, path, fs.ErrNotExist)
	}
	// parents first: their children are then written for what has taken their place
	slices.SortStableFunc(plan.images, func(a, b repackImage) int { return cmp.Compare(a.header.Depth, b.header.Depth) })
	return plan, found.err()
}

// add plans one image below root, or leaves it alone if there is no trace of it.
func (p *repackPlan) add(root, image string, recorded *traces) error {
	planned := repackImage{path: image}
	var err error
	if recorded != nil {
		if planned.trace, err = p.traceOf(root, image, recorded); err != nil {
			return err
		}
		if planned.trace == nil {
			p.leftAlone = append(p.leftAlone, image)
			return nil
		}
	}
	if planned.header, err = store.ReadHeader(image); err != nil {
		return err
	}
	if planned.trace != nil {
		if err := planned.trace.Check(&planned.header); err != nil {
			return fmt.Errorf("%s: %w", image, err)
		}
	}
	p.images = append(p.images, planned)
	return nil
}

func (p *repackPlan) traceOf(root, image string, recorded *traces) (*prefetch.Trace, error) {
	memory := strings.TrimSuffix(image, store.ImageSuffix)
	if !p.isDir {
		return recorded.ofPath(memory)
	}
	name, err := filepath.Rel(root, memory)
	if err != nil {
		return nil, err
	}
	return recorded.of(name)
}

// repack writes the image anew.
func (r *repackImage) repack(ctx context.Context, opt store.PackOptions) error {
	if r.trace != nil {
		useTrace(&opt, r.trace, r.path)
	}
	report, finish := progressBar("repacking", r.header.RawBytes)
	opt.Progress = report
	result, err := store.RepackFile(ctx, r.path, opt)
	finish()
	if err != nil {
		return err
	}
	r.done, r.row = true, repackRow{newPackRow(r.path, result), r.header.FileBytes}
	return nil
}

// repackRow is the result of one image as it is printed.
type repackRow struct {
	packRow
	OldPackedBytes int64 `json:"old_packed_bytes"`
}

func (r repackRow) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s: %s -> %s%s, %d of %d frames as they were, %.1f s\n",
		r.Path, humanBytes(r.OldPackedBytes), humanBytes(r.PackedBytes), r.layout(),
		r.CopiedFrames, r.Frames, r.Duration.Round(100*time.Millisecond).Seconds())
	return err
}

// print shows what was left alone or, as JSON, everything.
func (p *repackPlan) print(out io.Writer, asJSON bool) error {
	if !asJSON {
		for _, image := range p.leftAlone {
			if _, err := fmt.Fprintf(out, "%s: left alone, there is no trace of it\n", image); err != nil {
				return err
			}
		}
		return nil
	}
	rows := []repackRow{}
	for i := range p.images {
		if p.images[i].done {
			rows = append(rows, p.images[i].row)
		}
	}
	switch {
	case p.isDir:
		return printJSON(out, map[string]any{"images": rows, "left_alone": append([]string{}, p.leftAlone...)})
	case len(rows) > 0:
		return printJSON(out, rows[0])
	default:
		return nil
	}
}

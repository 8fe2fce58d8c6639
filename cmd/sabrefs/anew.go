package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"sabrefs/store"
)

// anewFlags say how an image is written anew.
type anewFlags struct {
	codec     string
	hot       hotFlags
	level     string
	frameSize byteSize
	workers   int
	dirs      parentFlags
}

func (flags *anewFlags) add(f *pflag.FlagSet) {
	f.StringVar(&flags.codec, "codec", "keep", "codec of the other pages: keep, auto, deflate, zstd, lz4 or raw")
	flags.hot.add(f)
	f.StringVar(&flags.level, "level", "keep", "keep, fast, default, better or best, for what is compressed again")
	f.Var(&flags.frameSize, "frame-size", "raw size of the other frames, 4K to 256K, a power of two (default: as they are)")
	f.IntVar(&flags.workers, "workers", 0, "number of cores to use (default: all)")
	flags.dirs.add(f)
}

// isSet reports whether the layout is to be another one.
func (*anewFlags) isSet(f *pflag.FlagSet) bool {
	return slices.ContainsFunc([]string{"codec", "level", "frame-size", "hot-codec", "hot-frame-size"}, f.Changed)
}

// options turns flags into options of the store.
func (flags *anewFlags) options() (opt store.PackOptions, err error) {
	opt.Workers = flags.workers
	if flags.level != "keep" {
		if opt.Level, err = store.ParseLevel(flags.level); err != nil {
			return opt, err
		}
	}
	switch flags.codec {
	case "keep":
	case "auto":
		opt.Codec = store.AutoCodec(nil)
	default:
		if opt.Codec, err = store.ParseCodec(flags.codec); err != nil {
			return opt, err
		}
		opt.Raw = opt.Codec == store.CodecRaw
	}
	if !validFrameSize(int64(flags.frameSize)) {
		return opt, usageError{fmt.Errorf("--frame-size %s: expected a power of two from 4K to 256K", &flags.frameSize)}
	}
	opt.FramePages = int(flags.frameSize) / store.PageBytes
	if opt.Parents, err = flags.dirs.finder(); err != nil {
		return opt, err
	}
	return opt, flags.hot.apply(&opt)
}

// anewJob writes children anew, one after the other.
type anewJob struct {
	doing string // for the bar that shows the progress
	write func(ctx context.Context, path string, opt store.PackOptions) (store.PackResult, error)
	// isCurrent reports whether an image need not be written; nil for never.
	isCurrent func(path string) bool
	json      bool

	rows      []repackRow
	leftAlone []leftAlone
}

// leftAlone is an image that is not written, and why.
type leftAlone struct{ path, why string }

// anewImage is an image that may be written anew.
type anewImage struct {
	path   string
	header store.Header
}

// imagesAnew finds the images that arguments name, sorted by depth. Whether it is a
// list decides what JSON looks like. What cannot be read is an error before anything
// is written.
func imagesAnew(args []string, childrenFirst bool) (images []anewImage, isList bool, err error) {
	isList = len(args) > 1
	seen := map[fileID]bool{}
	var found imageErrors
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			isList = true
		}
		paths, err := findImages(arg)
		if err != nil {
			return nil, false, err
		}
		for _, path := range paths {
			id, err := fileIDOf(path)
			if err == nil && seen[id] {
				continue
			}
			seen[id] = true
			h, err := store.ReadHeader(path)
			if err != nil {
				found = append(found, err)
				continue
			}
			images = append(images, anewImage{path, h})
		}
	}
	slices.SortStableFunc(images, func(a, b anewImage) int {
		if childrenFirst {
			a, b = b, a
		}
		return cmp.Compare(a.header.Depth, b.header.Depth)
	})
	return images, isList, found.err()
}

// run writes the children among the images anew. What fails does not keep it from the
// others; the first one decides the exit code.
func (job *anewJob) run(ctx context.Context, out io.Writer, images []anewImage, isList bool, opt store.PackOptions) error {
	var found imageErrors
	for i := range images {
		image := &images[i]
		if why := job.reasonAgainst(image); why != "" {
			job.leftAlone = append(job.leftAlone, leftAlone{image.path, why})
			continue
		}
		row, err := job.writeOne(ctx, image, opt)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			found = append(found, ofChild(image.path, err))
			continue
		}
		job.rows = append(job.rows, row)
		if !job.json {
			if err := row.printChild(out); err != nil {
				return err
			}
		}
	}
	if err := job.finish(out, isList); err != nil {
		return err
	}
	return found.err()
}

func (job *anewJob) reasonAgainst(image *anewImage) string {
	switch {
	case !image.header.HasParent():
		return "it has no parent"
	case job.isCurrent != nil && job.isCurrent(image.path):
		return "it is as it should be"
	}
	return ""
}

func (job *anewJob) writeOne(ctx context.Context, image *anewImage, opt store.PackOptions) (repackRow, error) {
	report, finish := progressBar(job.doing, image.header.RawBytes)
	opt.Progress = report
	result, err := job.write(ctx, image.path, opt)
	finish()
	return repackRow{newPackRow(image.path, result), image.header.FileBytes}, err
}

// finish shows what was left alone or, as JSON, everything.
func (job *anewJob) finish(out io.Writer, isList bool) error {
	if !job.json {
		for _, image := range job.leftAlone {
			if _, err := fmt.Fprintf(out, "%s: left alone, %s\n", image.path, image.why); err != nil {
				return err
			}
		}
		return nil
	}
	if !isList && len(job.rows) == 1 {
		return printJSON(out, job.rows[0])
	}
	if !isList && len(job.leftAlone) == 0 {
		return nil // what there was has failed
	}
	paths := []string{}
	for _, image := range job.leftAlone {
		paths = append(paths, image.path)
	}
	return printJSON(out, map[string]any{"images": append([]repackRow{}, job.rows...), "left_alone": paths})
}

// printChild tells what became of a child.
func (r repackRow) printChild(out io.Writer) error {
	lineage := "it has no parent any more"
	if r.Depth > 0 {
		lineage = fmt.Sprintf("%d pages of %d inherited, depth %d", r.ParentPages, r.PageCount, r.Depth)
	}
	_, err := fmt.Fprintf(out, "%s: %s -> %s, %s%s, %.1f s\n", r.Path, humanBytes(r.OldPackedBytes), humanBytes(r.PackedBytes),
		lineage, r.layout(), r.Duration.Round(100*time.Millisecond).Seconds())
	return err
}

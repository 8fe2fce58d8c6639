package main

import (
	"context"
	"encoding/json"
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

func newLayersPackCommand() *cobra.Command {
	var flags layersFlags
	cmd := newLayersSubcommand("pack", "Time packing a memory against an image of how it was",
		`Pack a memory, change some of its pages, and pack it again: as an image that stands
alone, against the first image (--parent), and as a diff that has nothing but the pages
that changed (--parent --diff); each within this process and with the sabrefs command.
They take turns. Files are in the page cache, images are written as always.`, &flags, runLayersPack)
	flags.addMemory(cmd, 512, 100)
	flags.addSabrefs(cmd)
	return cmd
}

// layersPackRow is the result for one way to pack.
type layersPackRow struct {
	What        string  `json:"what"`
	By          string  `json:"by"` // this process, or the command
	Seconds     float64 `json:"seconds"`
	SecondsMin  float64 `json:"seconds_min"`
	SecondsMax  float64 `json:"seconds_max"`
	StoredPages int64   `json:"stored_pages"`
	ParentPages int64   `json:"parent_pages"`
	PackedBytes int64   `json:"packed_bytes"`
	OfFull      float64 `json:"of_full"` // the size, of that of the full image

	pack  func(ctx context.Context) (store.PackResult, error)
	times []float64
}

// layersPackBench is one run of layers pack.
type layersPackBench struct {
	flags   layersFlags
	log     io.Writer
	sabrefs sabrefsBinary
	dir     string
	memory  *guestMemory
	rows    []layersPackRow
}

func (b *layersPackBench) parent() string { return filepath.Join(b.dir, "parent"+store.ImageSuffix) }
func (b *layersPackBench) target() string { return filepath.Join(b.dir, "target"+store.ImageSuffix) }
func (b *layersPackBench) diff() string   { return filepath.Join(b.dir, "diff") }

func runLayersPack(ctx context.Context, out, log io.Writer, flags layersFlags) error {
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return err
	}
	b := &layersPackBench{flags: flags, log: log, sabrefs: sabrefs}
	err = inWorkDir(flags.workDir, func(dir string) error {
		b.dir = dir
		return b.measure(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, b.rows, flags.json, printLayersPack)
}

// prepare packs the parent and changes the memory.
func (b *layersPackBench) prepare(ctx context.Context) (err error) {
	if b.memory, err = newGuestMemory(ctx, b.dir, b.flags); err != nil {
		return err
	}
	if _, err := store.PackFile(ctx, b.memory.path, b.parent(), store.PackOptions{}); err != nil {
		return err
	}
	changed := b.memory.changedPages(b.flags.changedPermille)
	fmt.Fprintf(b.log, "memory of %d MiB, %d pages with data, %d of them changed; seed %d\n",
		b.memory.rawBytes>>20, len(b.memory.data), changed, b.flags.seed)
	if err := b.memory.writeDiff(changed, b.diff()); err != nil {
		return err
	}
	b.rows = []layersPackRow{
		b.within("full", b.memory.path, store.PackOptions{}),
		b.within("--parent", b.memory.path, store.PackOptions{Parent: b.parent()}),
		b.within("--parent --diff", b.diff(), store.PackOptions{Parent: b.parent(), Diff: true}),
		b.command("full", b.memory.path),
		b.command("--parent", b.memory.path, "--parent", b.parent()),
		b.command("--parent --diff", b.diff(), "--parent", b.parent(), "--diff"),
	}
	return nil
}

// within packs in this process.
func (b *layersPackBench) within(what, source string, opt store.PackOptions) layersPackRow {
	return layersPackRow{What: what, By: "process", pack: func(ctx context.Context) (store.PackResult, error) {
		return store.PackFile(ctx, source, b.target(), opt)
	}}
}

// command packs as users do.
func (b *layersPackBench) command(what, source string, args ...string) layersPackRow {
	args = append([]string{"pack", "--json", source, b.target()}, args...)
	return layersPackRow{What: what, By: "command", pack: func(ctx context.Context) (result store.PackResult, err error) {
		text, err := b.sabrefs.run(ctx, args...)
		if err != nil {
			return result, err
		}
		if err := json.Unmarshal(text, &result); err != nil {
			return result, fmt.Errorf("output of sabrefs pack: %w", err)
		}
		return result, nil
	}}
}

func (b *layersPackBench) measure(ctx context.Context) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	digest := ""
	for round := range b.flags.runs {
		for i := range b.rows {
			row := &b.rows[i]
			fmt.Fprintf(b.log, "round %d of %d: %s, %s\n", round+1, b.flags.runs, row.What, row.By)
			result, err := b.round(ctx, row)
			if err != nil {
				return fmt.Errorf("%s by %s: %w", row.What, row.By, err)
			}
			if digest == "" {
				digest = result.Digest
			}
			if result.Digest != digest {
				return fmt.Errorf("%s by %s: %w", row.What, row.By, errOtherBytes)
			}
		}
	}
	for i := range b.rows {
		row := &b.rows[i]
		row.Seconds, row.SecondsMin, row.SecondsMax = spread(row.times)
		row.OfFull = float64(row.PackedBytes) / float64(b.rows[0].PackedBytes)
	}
	return nil
}

// round packs once and removes the image.
func (b *layersPackBench) round(ctx context.Context, row *layersPackRow) (store.PackResult, error) {
	begin := time.Now()
	result, err := row.pack(ctx)
	if err != nil {
		return result, err
	}
	row.times = append(row.times, time.Since(begin).Seconds())
	row.StoredPages, row.ParentPages, row.PackedBytes = result.StoredPages, result.ParentPages, result.PackedBytes
	return result, errors.Join(os.Remove(b.target()))
}

func printLayersPack(out io.Writer, rows []layersPackRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\tby\tseconds\t(min-max)\tpages stored\tof the parent\tsize MB\tof full\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%.3f\t(%.3f-%.3f)\t%d\t%d\t%.2f\t%.4f\t\n", r.What, r.By, r.Seconds, r.SecondsMin, r.SecondsMax,
			r.StoredPages, r.ParentPages, float64(r.PackedBytes)/1e6, r.OfFull)
	}
	return w.Flush()
}

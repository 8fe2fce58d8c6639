package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newLayersOpenCommand() *cobra.Command {
	var flags layersFlags
	cmd := newLayersSubcommand("open", "Time opening images with many ancestors",
		`Make a chain of images and time opening some of them, in turn. The time includes
looking up one page. Depth 0 is the root, which stands alone.

Then each is opened once more: heap is what the process has on its heap for it, mapped
what of the files is resident in its mappings; used is mapped when every page has been
looked up.`, &flags, runLayersOpen)
	flags.addMemory(cmd, 4096, 25)
	cmd.Flags().IntSliceVar(&flags.depths, "depths", []int{1, 5, 20, 100}, "numbers of ancestors of the images that are opened")
	cmd.Flags().BoolVar(&flags.cold, "cold", false, "also with all of the chain dropped from the page cache (needs root)")
	return cmd
}

// layersOpenRow is the result for one image of the chain.
type layersOpenRow struct {
	Depth       int     `json:"depth"`
	PackedBytes int64   `json:"packed_bytes"`
	TableBytes  int64   `json:"table_bytes"`
	WarmMS      float64 `json:"warm_ms"`
	WarmMinMS   float64 `json:"warm_min_ms"`
	WarmMaxMS   float64 `json:"warm_max_ms"`
	WarmBeyond  float64 `json:"warm_beyond_flat_ms"` // the difference to depth 0
	// The next four are of --cold.
	ColdMS      float64 `json:"cold_ms"`
	ColdMinMS   float64 `json:"cold_min_ms"`
	ColdMaxMS   float64 `json:"cold_max_ms"`
	ColdBeyond  float64 `json:"cold_beyond_flat_ms"`
	HeapBytes   int64   `json:"heap_bytes"`
	MappedBytes int64   `json:"mapped_bytes"`
	UsedBytes   int64   `json:"used_bytes"`

	warm, cold []float64
}

// layersOpenBench is one run of layers open.
type layersOpenBench struct {
	flags layersFlags
	log   io.Writer
	chain *layerChain
	rows  []layersOpenRow
}

func runLayersOpen(ctx context.Context, out, log io.Writer, flags layersFlags) error {
	b := &layersOpenBench{flags: flags, log: log}
	if err := b.makeRows(); err != nil {
		return err
	}
	err := inWorkDir(flags.workDir, func(dir string) error {
		if err := b.pack(ctx, dir); err != nil {
			return err
		}
		return b.measure(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, b.rows, flags.json, printLayersOpen)
}

func (b *layersOpenBench) makeRows() error {
	depths := append([]int{0}, b.flags.depths...)
	slices.Sort(depths)
	for _, depth := range slices.Compact(depths) {
		if depth < 0 || depth > store.MaxDepth {
			return fmt.Errorf("depth %d: expected 0 to %d", depth, store.MaxDepth)
		}
		b.rows = append(b.rows, layersOpenRow{Depth: depth})
	}
	return nil
}

func (b *layersOpenBench) pack(ctx context.Context, dir string) error {
	memory, err := newGuestMemory(ctx, dir, b.flags)
	if err != nil {
		return err
	}
	if b.chain, err = newLayerChain(ctx, filepath.Join(dir, "store"), memory, b.flags, b.log); err != nil {
		return err
	}
	for i := range b.rows {
		row := &b.rows[i]
		if err := b.chain.growTo(ctx, row.Depth); err != nil {
			return err
		}
		header, err := store.ReadHeader(b.chain.path(row.Depth))
		if err != nil {
			return err
		}
		row.PackedBytes, row.TableBytes = header.FileBytes, header.TableBytes()
	}
	return nil
}

func (b *layersOpenBench) measure(ctx context.Context) error {
	for round := range b.flags.runs {
		fmt.Fprintf(b.log, "round %d of %d\n", round+1, b.flags.runs)
		for i := range b.rows {
			if err := b.round(ctx, &b.rows[i]); err != nil {
				return fmt.Errorf("depth %d: %w", b.rows[i].Depth, err)
			}
		}
	}
	for i := range b.rows {
		if err := b.countMemory(&b.rows[i]); err != nil {
			return err
		}
		b.rows[i].finish(b.rows[0])
	}
	return nil
}

// round opens one image cold, if asked, and then warm.
func (b *layersOpenBench) round(ctx context.Context, row *layersOpenRow) error {
	if b.flags.cold {
		if err := dropCaches(ctx, b.chain.paths(row.Depth)...); err != nil {
			return err
		}
		elapsedMS, err := b.timeOpen(row.Depth)
		if err != nil {
			return err
		}
		row.cold = append(row.cold, elapsedMS)
	}
	if _, err := b.timeOpen(row.Depth); err != nil { // warms what a round before has not
		return err
	}
	elapsedMS, err := b.timeOpen(row.Depth)
	row.warm = append(row.warm, elapsedMS)
	return err
}

// timeOpen opens an image and closes it again, which is not counted.
func (b *layersOpenBench) timeOpen(depth int) (elapsedMS float64, err error) {
	begin := time.Now()
	img, err := b.open(depth)
	elapsedMS = float64(time.Since(begin).Nanoseconds()) / 1e6
	if err != nil {
		return 0, err
	}
	return elapsedMS, img.Close()
}

// open opens an image and looks up the page in the middle.
func (b *layersOpenBench) open(depth int) (*store.Image, error) {
	img, err := store.Open(b.chain.path(depth), store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	var ref [1]store.PageRef
	if err := img.Pages(b.chain.memory.rawBytes/2/pageBytes, ref[:]); err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// countMemory opens the image and counts what that takes.
func (b *layersOpenBench) countMemory(row *layersOpenRow) (err error) {
	before := heapBytes()
	img, err := b.open(row.Depth)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	row.HeapBytes = max(0, heapBytes()-before)
	if row.MappedBytes, err = mappedBytes(b.chain.dir); err != nil {
		return err
	}
	if err := lookUpAll(img); err != nil {
		return err
	}
	row.UsedBytes, err = mappedBytes(b.chain.dir)
	return err
}

// heapBytes is what is in use on the heap.
func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// lookUpAll finds out for every page where it is.
func lookUpAll(img *store.Image) error {
	refs := make([]store.PageRef, 1024)
	header := img.Header()
	for page := int64(0); page < header.PageCount(); page += int64(len(refs)) {
		some := refs[:min(int64(len(refs)), header.PageCount()-page)]
		if err := img.Pages(page, some); err != nil {
			return err
		}
		for _, ref := range some {
			if ref.Kind != store.PageInFrame {
				continue
			}
			if _, err := img.Frame(ref.Frame); err != nil {
				return err
			}
		}
	}
	return nil
}

// mappedBytes is what is resident of this process's mappings of files below dir.
func mappedBytes(dir string) (total int64, err error) {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer smaps.Close()
	below := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		name, value, isField := strings.Cut(lines.Text(), ":")
		if !isField || strings.Contains(name, " ") { // the head of a mapping
			below = strings.Contains(lines.Text(), " "+dir+"/")
			continue
		}
		if !below || name != "Rss" {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("smaps: %q: %w", lines.Text(), err)
		}
		total += kib << 10
	}
	return total, nil
}

func (r *layersOpenRow) finish(flat layersOpenRow) {
	r.WarmMS, r.WarmMinMS, r.WarmMaxMS = spread(r.warm)
	r.ColdMS, r.ColdMinMS, r.ColdMaxMS = spread(r.cold)
	flatWarmMS, _, _ := spread(flat.warm)
	flatColdMS, _, _ := spread(flat.cold)
	r.WarmBeyond, r.ColdBeyond = r.WarmMS-flatWarmMS, r.ColdMS-flatColdMS
}

func printLayersOpen(out io.Writer, rows []layersOpenRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "depth\tsize MB\ttables MB\twarm ms\t(min-max)\tbeyond flat\tcold ms\t(min-max)\tbeyond flat\theap KiB\tmapped KiB\tused KiB\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%.1f\t%.2f\t%.2f\t(%.2f-%.2f)\t%.2f\t%.2f\t(%.2f-%.2f)\t%.2f\t%d\t%d\t%d\t\n", r.Depth, float64(r.PackedBytes)/1e6, float64(r.TableBytes)/1e6,
			r.WarmMS, r.WarmMinMS, r.WarmMaxMS, r.WarmBeyond, r.ColdMS, r.ColdMinMS, r.ColdMaxMS, r.ColdBeyond,
			r.HeapBytes>>10, r.MappedBytes>>10, r.UsedBytes>>10)
	}
	return w.Flush()
}

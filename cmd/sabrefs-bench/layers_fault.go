package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sabrefs/store"
)

func newLayersFaultCommand() *cobra.Command {
	var flags layersFlags
	cmd := newLayersSubcommand("fault", "Time reading random pages of an image with many ancestors",
		`Make a chain of images, and a flat image of the same memory as the last one has. Read
random pages of both, one at a time, all sides in turn, with the images in the page cache:

  read   within this process, through a frame cache that is empty at first
  fault  first touches of a private mapping of a file on a fresh mount, in another process

The third side is a copy of the chain whose root was packed anew meanwhile, so that the
images above it are stale. Ratios are of the medians, and of the 95th percentiles, to
those of the flat image. The bytes are compared.`, &flags, runLayersFault)
	flags.addMemory(cmd, 4096, 25)
	flags.addSabrefs(cmd)
	cmd.Flags().IntVar(&flags.depth, "depth", 20, "number of ancestors of the image")
	cmd.Flags().IntVar(&flags.reads, "reads", 4000, "pages that are read in a round")
	return cmd
}

// layersFaultRow is the result for one side.
type layersFaultRow struct {
	Side     string  `json:"side"`
	Depth    int     `json:"depth"`
	How      string  `json:"how"`   // read or fault
	Pages    int     `json:"pages"` // of all rounds
	MeanUS   float64 `json:"mean_us"`
	P50US    float64 `json:"p50_us"`
	P95US    float64 `json:"p95_us"`
	P50Ratio float64 `json:"p50_to_flat"`
	P95Ratio float64 `json:"p95_to_flat"`

	reports []touchReport
}

// layerSide is an image that is read, and its two rows.
type layerSide struct {
	name        string
	depth       int
	dir         string // in the store
	file        string // on the mount, without its suffix in the store
	img         *store.Image
	cache       *store.FrameCache
	latencies   []time.Duration // of the round
	read, fault layersFaultRow
}

// layersFaultBench is one run of layers fault.
type layersFaultBench struct {
	flags   layersFlags
	log     io.Writer
	sabrefs sabrefsBinary
	dir     string
	memory  *guestMemory
	sides   []*layerSide // the flat one first
}

func (b *layersFaultBench) store() string { return filepath.Join(b.dir, "store") }
func (b *layersFaultBench) point() string { return filepath.Join(b.dir, "mnt") }

func (b *layersFaultBench) image(s *layerSide) string {
	return filepath.Join(b.store(), s.dir, s.file+store.ImageSuffix)
}

func runLayersFault(ctx context.Context, out, log io.Writer, flags layersFlags) error {
	if flags.depth < 1 || flags.depth > store.MaxDepth || flags.reads < 1 {
		return fmt.Errorf("depth %d, %d reads: expected a depth of 1 to %d and at least one read", flags.depth, flags.reads, store.MaxDepth)
	}
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return err
	}
	b := &layersFaultBench{flags: flags, log: log, sabrefs: sabrefs, sides: []*layerSide{
		{name: "flat", dir: "flat", file: memoryName},
		{name: "chain", depth: flags.depth, dir: "chain", file: layerName(flags.depth)},
		{name: "stale chain", depth: flags.depth, dir: "stale", file: layerName(flags.depth)},
	}}
	err = inWorkDir(flags.workDir, func(dir string) error {
		b.dir = dir
		return b.measure(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, b.rows(), flags.json, printLayersFault)
}

// pack makes the images of all sides.
func (b *layersFaultBench) pack(ctx context.Context) (err error) {
	for _, dir := range []string{b.store(), filepath.Join(b.store(), "flat"), b.point()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if b.memory, err = newGuestMemory(ctx, b.dir, b.flags); err != nil {
		return err
	}
	chain, err := newLayerChain(ctx, filepath.Join(b.store(), "chain"), b.memory, b.flags, b.log)
	if err != nil {
		return err
	}
	if err := chain.growTo(ctx, b.flags.depth); err != nil {
		return err
	}
	if err := chain.flatten(ctx, b.image(b.sides[0])); err != nil {
		return err
	}
	return chain.staleCopy(ctx, filepath.Join(b.store(), "stale"))
}

func (b *layersFaultBench) measure(ctx context.Context) (err error) {
	if err := b.pack(ctx); err != nil {
		return err
	}
	if err := b.warm(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, side := range b.sides {
		if side.img, err = store.Open(b.image(side), store.OpenOptions{}); err != nil {
			return err
		}
	}
	for round := range b.flags.runs {
		fmt.Fprintf(b.log, "round %d of %d\n", round+1, b.flags.runs)
		pages, err := pickPages(b.memory.path, b.flags.reads, b.flags.seed+uint64(round))
		if err != nil {
			return err
		}
		if err := b.readRound(ctx, pages); err != nil {
			return err
		}
		if err := b.faultRound(ctx, pages); err != nil {
			return err
		}
	}
	return nil
}

// warm reads all images once.
func (b *layersFaultBench) warm(ctx context.Context) error {
	_, err := runTool(ctx, "sh", "-c", `cat "$1"/*/* >/dev/null`, "sh", b.store())
	return err
}

func (b *layersFaultBench) close() (err error) {
	for _, side := range b.sides {
		if side.img != nil {
			err = errors.Join(err, side.img.Close())
		}
	}
	return err
}

// readRound reads the pages within this process: each one of all sides, before the next.
func (b *layersFaultBench) readRound(ctx context.Context, pages []uint32) (err error) {
	const cacheBytes = 64 << 20
	defer func() { err = errors.Join(err, b.dropCaches()) }()
	for _, side := range b.sides {
		if side.cache, err = store.NewFrameCache(cacheBytes); err != nil {
			return err
		}
		side.latencies = make([]time.Duration, 0, len(pages))
	}
	begin := time.Now()
	want, got := make([]byte, pageBytes), make([]byte, pageBytes)
	for i, page := range pages {
		for turn := range b.sides {
			side := b.sides[(i+turn)%len(b.sides)]
			if err := side.readPage(ctx, page, got); err != nil {
				return err
			}
			if turn > 0 && !bytes.Equal(got, want) {
				return fmt.Errorf("%s: page %d: %w", side.name, page, errOtherBytes)
			}
			want, got = got, want
		}
	}
	for _, side := range b.sides {
		side.read.reports = append(side.read.reports, summarize(side.latencies, time.Since(begin)))
	}
	return nil
}

// dropCaches closes the caches of a round.
func (b *layersFaultBench) dropCaches() (err error) {
	for _, side := range b.sides {
		if side.cache != nil {
			err = errors.Join(err, side.cache.Close())
		}
		side.cache = nil
	}
	return err
}

func (s *layerSide) readPage(ctx context.Context, page uint32, dst []byte) error {
	begin := time.Now()
	_, err := s.cache.ReadAt(ctx, s.img, dst, int64(page)*pageBytes)
	s.latencies = append(s.latencies, time.Since(begin))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// faultRound mounts the store and touches the pages on each side, some at a time, so that
// what else goes on in the machine meets all sides.
func (b *layersFaultBench) faultRound(ctx context.Context, pages []uint32) (err error) {
	if _, err := b.sabrefs.run(ctx, "mount", b.store(), b.point()); err != nil {
		return err
	}
	defer func() {
		_, umountErr := b.sabrefs.run(context.WithoutCancel(ctx), "umount", b.point())
		err = errors.Join(err, umountErr)
	}()
	const pagesAtOnce = 500
	for i, some := range slices.Collect(slices.Chunk(pages, pagesAtOnce)) {
		for turn := range b.sides {
			if err := b.touch(ctx, b.sides[(i+turn)%len(b.sides)], some); err != nil {
				return err
			}
		}
	}
	return nil
}

// touch touches pages of a mounted file from another process.
func (b *layersFaultBench) touch(ctx context.Context, side *layerSide, pages []uint32) error {
	wantCRC, err := pagesCRC(b.memory.path, pages)
	if err != nil {
		return err
	}
	report, err := runTouch(ctx, bytes.NewReader(encodePageNumbers(pages)), touchFaults,
		filepath.Join(b.point(), side.dir, side.file), strconv.Itoa(unix.MADV_RANDOM))
	if err == nil && report.CRC32 != wantCRC {
		err = errOtherBytes
	}
	if err != nil {
		return fmt.Errorf("%s: %w", side.name, err)
	}
	side.fault.reports = append(side.fault.reports, report)
	return nil
}

// rows are those of all reads, then those of all faults.
func (b *layersFaultBench) rows() []layersFaultRow {
	var reads, faults []layersFaultRow
	for _, side := range b.sides {
		side.read.finish(side, "read", b.sides[0].read)
		side.fault.finish(side, "fault", b.sides[0].fault)
		reads, faults = append(reads, side.read), append(faults, side.fault)
	}
	return slices.Concat(reads, faults)
}

// finish takes the medians of all reports; flat is finished already, or the row itself.
func (r *layersFaultRow) finish(side *layerSide, how string, flat layersFaultRow) {
	median := func(of func(touchReport) float64) float64 {
		var list []float64
		for _, report := range r.reports {
			list = append(list, of(report))
		}
		middle, _, _ := spread(list)
		return middle
	}
	r.Side, r.Depth, r.How = side.name, side.depth, how
	for _, report := range r.reports {
		r.Pages += report.Pages
	}
	r.MeanUS = median(func(t touchReport) float64 { return t.MeanUS })
	r.P50US = median(func(t touchReport) float64 { return t.P50US })
	r.P95US = median(func(t touchReport) float64 { return t.P95US })
	r.P50Ratio, r.P95Ratio = 1, 1
	if side.depth > 0 {
		r.P50Ratio, r.P95Ratio = r.P50US/flat.P50US, r.P95US/flat.P95US
	}
}

func printLayersFault(out io.Writer, rows []layersFaultRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "how\tside\tdepth\tpages\tmean us\tp50\tp95\tp50/flat\tp95/flat\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t\n", r.How, r.Side, r.Depth, r.Pages, r.MeanUS, r.P50US, r.P95US, r.P50Ratio, r.P95Ratio)
	}
	return w.Flush()
}

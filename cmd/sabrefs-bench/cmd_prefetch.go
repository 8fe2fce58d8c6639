package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

// prefetchFlags are the options of prefetch.
type prefetchFlags struct {
	images                  []string
	trace, sabrefs, workDir string
	runs, clones            int
	json                    bool
}

func newPrefetchCommand() *cobra.Command {
	var flags prefetchFlags
	cmd := &cobra.Command{
		Use:   "prefetch --image IMAGE... [--clones N --trace TRACE]",
		Short: "Time pushing working sets from a cold disk into the page cache",
		Long: `Mount each image, which has been laid out by a working set, with cold caches; open
its memory file from another process and wait until the daemon has pushed the
working set. The speed is that of the raw bytes, end to end as the daemon counts
it: reading, decoding, pushing. Images take turns.

With --clones, N processes open and map the file at once and touch the pages of the
trace in its order; one process alone does the same in turn with them. p50 and p95
are over the clones of all rounds; warm is the same with all pages in the page cache
already, which is what the processors need for the touching alone; set is the time
until the working set was in the page cache. Frames decoded should be no more than the set
has: each once, however many wait for it.`,
		Example: `  sabrefs pack --working-set python.ws mem_file lz4.sabre
  sabrefs-bench prefetch --image lz4.sabre --clones 16 --trace python.ws`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPrefetch(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.images, "image", nil, "image with a working set (required, may be repeated)")
	f.StringVar(&flags.trace, "trace", "", "trace of the working set, for --clones")
	f.StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for copies of the images, on the disk in question (default: a temporary one)")
	f.IntVar(&flags.runs, "runs", 7, "rounds of measurements")
	f.IntVar(&flags.clones, "clones", 0, "processes that map the file at once")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("image")
	return cmd
}

// prefetchRow is the result for one image.
type prefetchRow struct {
	Image     string  `json:"image"`
	HotCodec  string  `json:"hot_codec"`
	SetFrames int64   `json:"set_frames"`
	PushedMB  float64 `json:"pushed_mb"`
	MBPerS    float64 `json:"mb_per_s"`
	MBPerSMin float64 `json:"mb_per_s_min"`
	MBPerSMax float64 `json:"mb_per_s_max"`
	// The rest is of --clones.
	Clones     int     `json:"clones"`
	AloneMS    float64 `json:"alone_ms"` // one process, the median
	CloneP50MS float64 `json:"clone_p50_ms"`
	CloneP95MS float64 `json:"clone_p95_ms"`
	P95Ratio   float64 `json:"clone_p95_to_alone"`
	// WarmP95MS is what the same clones take when all is in the page cache: the
	// processors' time for mapping the pages.
	WarmP95MS float64 `json:"clone_warm_p95_ms"`
	WarmRatio float64 `json:"clone_p95_to_warm"`
	// SetAloneMS and SetP95MS are the times until the working set was in the page
	// cache, which is the same moment for all clones.
	SetAloneMS    float64 `json:"set_alone_ms"`
	SetP95MS      float64 `json:"set_p95_ms"`
	FramesDecoded int64   `json:"frames_decoded"` // with all clones; the most of any round

	store               string // a directory with nothing but the image
	speeds              []float64
	alone, clones, warm []time.Duration
	setAlone, setClones []time.Duration
}

func (r *prefetchRow) imagePath() string { return filepath.Join(r.store, memoryName+".sabre") }

// prefetchBench is one run of prefetch.
type prefetchBench struct {
	flags   prefetchFlags
	log     io.Writer
	sabrefs sabrefsBinary
	dir     string
	driver  restoreDriver
	pages   []uint32 // of the trace
	crc     *uint32  // of these pages, once known
	rows    []prefetchRow
}

func runPrefetch(ctx context.Context, out, log io.Writer, flags prefetchFlags) error {
	b := &prefetchBench{flags: flags, log: log}
	if err := b.check(); err != nil {
		return err
	}
	err := inWorkDir(flags.workDir, func(dir string) error {
		b.dir = dir
		return b.measure(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, b.rows, flags.json, printPrefetch)
}

func (b *prefetchBench) check() (err error) {
	if b.flags.runs < 1 || b.flags.clones < 0 {
		return fmt.Errorf("%d runs of %d clones: expected at least one run", b.flags.runs, b.flags.clones)
	}
	if b.flags.clones > 0 && b.flags.trace == "" {
		return errors.New("clones need --trace, to know what to touch")
	}
	if b.flags.trace != "" {
		if b.pages, err = readTracePages(b.flags.trace); err != nil {
			return err
		}
	}
	b.sabrefs, err = findSabrefs(b.flags.sabrefs)
	return err
}

func (b *prefetchBench) pagesPath() string { return filepath.Join(b.dir, "pages") }
func (b *prefetchBench) point() string     { return filepath.Join(b.dir, "mnt") }
func (b *prefetchBench) mounted() string   { return filepath.Join(b.point(), memoryName) }

func (b *prefetchBench) measure(ctx context.Context) (err error) {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for round := range b.flags.runs {
		for i := range b.rows {
			fmt.Fprintf(b.log, "round %d of %d: %s\n", round+1, b.flags.runs, b.rows[i].Image)
			if err := b.round(ctx, &b.rows[i]); err != nil {
				return fmt.Errorf("%s: %w", b.rows[i].Image, err)
			}
		}
	}
	for i := range b.rows {
		b.rows[i].finish()
	}
	return nil
}

// prepare gives every image a store of its own on the disk of the work directory.
func (b *prefetchBench) prepare(ctx context.Context) (err error) {
	if err := os.Mkdir(b.point(), 0o755); err != nil {
		return err
	}
	if b.flags.clones > 0 {
		const ownerOnly = 0o600
		if b.driver, err = buildRestoreDriver(ctx, b.dir); err != nil {
			return err
		}
		if err := os.WriteFile(b.pagesPath(), encodePageNumbers(b.pages), ownerOnly); err != nil {
			return err
		}
	}
	for i, image := range b.flags.images {
		row := prefetchRow{Image: image, Clones: b.flags.clones, store: filepath.Join(b.dir, "store"+strconv.Itoa(i))}
		if err := os.Mkdir(row.store, 0o755); err != nil {
			return err
		}
		if _, err := runTool(ctx, "cp", image, row.imagePath()); err != nil {
			return err
		}
		if err := row.describe(); err != nil {
			return err
		}
		b.rows = append(b.rows, row)
	}
	return nil
}

// describe reads from the image how its working set is packed.
func (r *prefetchRow) describe() error {
	img, err := store.Open(r.imagePath(), store.OpenOptions{})
	if err != nil {
		return err
	}
	r.SetFrames = img.Header().HotFrames
	if r.SetFrames == 0 {
		return errors.Join(fmt.Errorf("%s was not laid out by a working set", r.Image), img.Close())
	}
	entry, err := img.Frame(0) // the set comes first
	r.HotCodec = entry.Codec.String()
	return errors.Join(err, img.Close())
}

// round measures one image once, each part on a fresh and cold mount.
func (b *prefetchBench) round(ctx context.Context, row *prefetchRow) error {
	if err := b.onColdMount(ctx, row, func() error { return b.push(ctx, row) }); err != nil {
		return err
	}
	if b.flags.clones == 0 {
		return nil
	}
	err := b.onColdMount(ctx, row, func() error {
		times, stats, err := b.resumeAndAsk(ctx, row, 1)
		row.alone, row.setAlone = append(row.alone, times...), append(row.setAlone, stats.wall())
		return err
	})
	if err != nil {
		return err
	}
	return b.onColdMount(ctx, row, func() error {
		times, stats, err := b.resumeAndAsk(ctx, row, b.flags.clones)
		if err != nil {
			return err
		}
		row.clones, row.setClones = append(row.clones, times...), append(row.setClones, stats.wall())
		row.FramesDecoded = max(row.FramesDecoded, stats.FramesDecoded)
		times, err = b.resume(ctx, row, b.flags.clones)
		row.warm = append(row.warm, times...)
		return err
	})
}

// resumeAndAsk is resume, and what the mount says afterwards.
func (b *prefetchBench) resumeAndAsk(ctx context.Context, row *prefetchRow, count int) ([]time.Duration, mountStats, error) {
	times, err := b.resume(ctx, row, count)
	if err != nil {
		return nil, mountStats{}, err
	}
	stats, err := b.sabrefs.imageStats(ctx, b.point())
	return times, stats, err
}

func (b *prefetchBench) onColdMount(ctx context.Context, row *prefetchRow, do func() error) (err error) {
	if err := dropCaches(ctx, row.imagePath()); err != nil {
		return err
	}
	if _, err := runTool(ctx, "cat", string(b.sabrefs)); err != nil { // nobody measures the daemon's start
		return err
	}
	if _, err := b.sabrefs.run(ctx, "mount", row.store, b.point()); err != nil {
		return err
	}
	defer func() {
		_, umountErr := b.sabrefs.run(context.WithoutCancel(ctx), "umount", b.point())
		err = errors.Join(err, umountErr)
	}()
	const settled = 250 * time.Millisecond // hosts have their mounts before their guests
	time.Sleep(settled)
	return do()
}

// push has the file opened by somebody and waits for the end of prefetch.
func (b *prefetchBench) push(ctx context.Context, row *prefetchRow) (err error) {
	// To ask starts a process, which would compete with what is measured.
	const interval, limit = 250 * time.Millisecond, time.Minute
	release, err := holdOpen(ctx, b.mounted())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	for begin := time.Now(); time.Since(begin) < limit; {
		time.Sleep(interval)
		stats, err := b.sabrefs.imageStats(ctx, b.point())
		if err != nil {
			return err
		}
		if stats.State != prefetchDone {
			continue
		}
		if stats.PushedBytes <= 0 || stats.WallSeconds <= 0 {
			return fmt.Errorf("prefetch is done and has pushed %d bytes in %g s", stats.PushedBytes, stats.WallSeconds)
		}
		row.PushedMB = float64(stats.PushedBytes) / 1e6
		row.speeds = append(row.speeds, row.PushedMB/stats.WallSeconds)
		return nil
	}
	return fmt.Errorf("prefetch has not finished within %v", limit)
}

// holdOpen lets a shell open the file, and returns what makes it end.
func holdOpen(ctx context.Context, path string) (release func() error, err error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `exec 3<"$1" && echo open && read -r line || true`, "sh", path)
	cmd.Stderr = os.Stderr
	in, out, err := startPiped(cmd)
	if err != nil {
		return nil, err
	}
	release = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	line, err := out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "open" {
		return nil, errors.Join(fmt.Errorf("opening %s: the shell says %q", path, line), err, release())
	}
	return release, nil
}

// resume lets so many processes map the file at once and returns the time of each.
func (b *prefetchBench) resume(ctx context.Context, row *prefetchRow, count int) (times []time.Duration, err error) {
	header, err := store.ReadHeader(row.imagePath())
	if err != nil {
		return nil, err
	}
	job := restoreJob{mode: restoreMap, path: b.mounted(), memoryBytes: header.RawBytes, pagesPath: b.pagesPath()}
	running := make([]*runningRestore, 0, count)
	defer func() {
		for _, r := range running { // those that nobody has waited for
			err = errors.Join(err, r.close())
		}
	}()
	for range count {
		r, err := b.driver.start(ctx, job)
		if err != nil {
			return nil, err
		}
		running = append(running, r)
	}
	for _, r := range running {
		if err := r.release(); err != nil {
			return nil, err
		}
	}
	for len(running) > 0 {
		result, err := running[0].wait()
		running = running[1:]
		if err != nil {
			return nil, err
		}
		if b.crc == nil {
			b.crc = &result.CRC32
		}
		if *b.crc != result.CRC32 {
			return nil, errors.New("a clone has got other bytes than the first one")
		}
		times = append(times, result.total())
	}
	return times, nil
}

func (r *prefetchRow) finish() {
	r.MBPerS, r.MBPerSMin, r.MBPerSMax = spread(r.speeds)
	const usPerMS = 1e3
	r.AloneMS = percentile(r.alone, 50) / usPerMS
	r.CloneP50MS, r.CloneP95MS = percentile(r.clones, 50)/usPerMS, percentile(r.clones, 95)/usPerMS
	r.WarmP95MS = percentile(r.warm, 95) / usPerMS
	r.SetAloneMS, r.SetP95MS = percentile(r.setAlone, 50)/usPerMS, percentile(r.setClones, 95)/usPerMS
	if r.AloneMS > 0 && r.WarmP95MS > 0 {
		r.P95Ratio, r.WarmRatio = r.CloneP95MS/r.AloneMS, r.CloneP95MS/r.WarmP95MS
	}
}

func printPrefetch(out io.Writer, rows []prefetchRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "image\tcodec\tframes\tpushed MB\tMB/s\t(min-max)\tclones\talone ms\tp50 ms\tp95 ms\tp95/alone\twarm p95 ms\tp95/warm\tset alone ms\tset p95 ms\tframes decoded\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%.0f\t(%.0f-%.0f)\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t%.1f\t%.2f\t%.1f\t%.1f\t%d\t\n", r.Image, r.HotCodec, r.SetFrames, r.PushedMB,
			r.MBPerS, r.MBPerSMin, r.MBPerSMax, r.Clones, r.AloneMS, r.CloneP50MS, r.CloneP95MS, r.P95Ratio, r.WarmP95MS, r.WarmRatio, r.SetAloneMS, r.SetP95MS, r.FramesDecoded)
	}
	return w.Flush()
}

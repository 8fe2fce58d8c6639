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

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// errOtherBytes is returned when a side does not deliver what is in the raw file.
var errOtherBytes = errors.New("the touched pages have other bytes than in the raw file")

// peersFlags are the options of peers.
type peersFlags struct {
	input   string
	sabrefs string
	workDir string
	runs    int
	faults  int
	advice  string
	seed    uint64
	json    bool
}

func newPeersCommand() *cobra.Command {
	var flags peersFlags
	cmd := &cobra.Command{
		Use:   "peers --input MEMORY_FILE",
		Short: "Compare size, packing, sequential reads and random faults with other filesystems",
		Long: `Pack a memory file with sabrefs, EROFS and squashfs; then, in turn and with cold
caches, read it sequentially and touch random pages of a private mapping, each
from a process of its own. Every side must deliver the same bytes.

Faults are on different pages that are not zero, the same ones for every side.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPeers(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.input, "input", "", "memory file to pack (required)")
	f.StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for the images (default: a temporary one)")
	f.IntVar(&flags.runs, "runs", 5, "rounds of measurements")
	f.IntVar(&flags.faults, "faults", 4000, "pages to touch in a round")
	f.StringVar(&flags.advice, "advice", "random", "madvise of the mapping: random, normal or hugepage")
	f.Uint64Var(&flags.seed, "seed", 1, "seed of the choice of pages")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("input")
	return cmd
}

// peerRow is the result of one side. Speeds are of raw bytes, 10^6 bytes a
// second; with several rounds each figure is the median.
type peerRow struct {
	Name               string  `json:"name"`
	SizeBytes          int64   `json:"size_bytes"`
	PackSeconds        float64 `json:"pack_seconds"`
	PackMBPerS         float64 `json:"pack_mb_per_s"`
	SequentialMBPerS   float64 `json:"sequential_mb_per_s"`
	SequentialMinMBPS  float64 `json:"sequential_min_mb_per_s"`
	SequentialMaxMBPS  float64 `json:"sequential_max_mb_per_s"`
	FaultMeanUS        float64 `json:"fault_mean_us"`
	FaultMeanMinUS     float64 `json:"fault_mean_min_us"`
	FaultMeanMaxUS     float64 `json:"fault_mean_max_us"`
	FaultP50US         float64 `json:"fault_p50_us"`
	FaultP99US         float64 `json:"fault_p99_us"`
	sequential, faults []float64
	p50, p99           []float64
}

// comparison is one run of peers.
type comparison struct {
	flags   peersFlags
	log     io.Writer
	peers   []peer
	rows    []peerRow
	dir     string // holds src/, the images and the mount point
	pages   []byte // to be touched, as the touching process reads them
	advice  int
	rawCRC  uint32 // of the touched pages in the raw file
	rawSize int64
	// keptWarm are files that are read again after the caches have been dropped.
	keptWarm []string
}

// advices are the words for madvise.
var advices = map[string]int{"random": unix.MADV_RANDOM, "normal": unix.MADV_NORMAL, "hugepage": unix.MADV_HUGEPAGE}

func runPeers(ctx context.Context, out, log io.Writer, flags peersFlags) error {
	c, err := newComparison(flags, log)
	if err != nil {
		return err
	}
	err = inWorkDir(flags.workDir, func(dir string) error {
		c.dir = dir
		return c.run(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, c.rows, flags.json, printPeers)
}

// run packs once and then measures every side in turn, as often as asked.
func (c *comparison) run(ctx context.Context) error {
	if err := c.packAll(ctx); err != nil {
		return err
	}
	for round := range c.flags.runs {
		for i := range c.peers {
			fmt.Fprintf(c.log, "round %d of %d: %s\n", round+1, c.flags.runs, c.peers[i].name)
			if err := c.measure(ctx, i); err != nil {
				return fmt.Errorf("%s: %w", c.peers[i].name, err)
			}
		}
	}
	for i := range c.rows {
		c.rows[i].finish()
	}
	return nil
}

func newComparison(flags peersFlags, log io.Writer) (*comparison, error) {
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return nil, err
	}
	advice, ok := advices[flags.advice]
	if !ok {
		return nil, fmt.Errorf("advice %q: expected random, normal or hugepage", flags.advice)
	}
	if flags.runs < 1 || flags.faults < 1 {
		return nil, fmt.Errorf("%d runs of %d faults: expected at least one", flags.runs, flags.faults)
	}
	pages, err := pickPages(flags.input, flags.faults, flags.seed)
	if err != nil {
		return nil, err
	}
	c := &comparison{flags: flags, log: log, peers: peers(sabrefs), advice: advice, pages: encodePageNumbers(pages)}
	c.rows = make([]peerRow, len(c.peers))
	return c, nil
}

func (c *comparison) source() string      { return filepath.Join(c.dir, "src") }
func (c *comparison) point() string       { return filepath.Join(c.dir, "mnt") }
func (c *comparison) image(i int) string  { return filepath.Join(c.dir, "image"+strconv.Itoa(i)) }
func (c *comparison) mountedFile() string { return filepath.Join(c.point(), memoryName) }

// packAll copies the input to the work directory, so that all sides read from
// one disk, and packs it with every side.
func (c *comparison) packAll(ctx context.Context) error {
	for _, dir := range []string{c.source(), c.point()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if _, err := runTool(ctx, "cp", "--sparse=never", c.flags.input, filepath.Join(c.source(), memoryName)); err != nil {
		return err
	}
	for i, p := range c.peers {
		fmt.Fprintf(c.log, "packing: %s\n", p.name)
		size, seconds, err := p.timedPack(ctx, c.source(), c.image(i))
		if err != nil {
			return err
		}
		c.rows[i] = peerRow{Name: p.name, SizeBytes: size, PackSeconds: seconds}
	}
	info, err := os.Stat(filepath.Join(c.source(), memoryName))
	if err != nil {
		return err
	}
	c.rawSize = info.Size()
	for i := range c.rows {
		c.rows[i].PackMBPerS = float64(c.rawSize) / 1e6 / c.rows[i].PackSeconds
	}
	return nil
}

// measure does one round of one side, each part on a fresh mount.
func (c *comparison) measure(ctx context.Context, i int) error {
	row := &c.rows[i]
	read, err := c.onColdMount(ctx, i, nil, readBuffered, c.mountedFile())
	if err != nil {
		return err
	}
	if read.Bytes != c.rawSize {
		return fmt.Errorf("read %d bytes, the file has %d", read.Bytes, c.rawSize)
	}
	row.sequential = append(row.sequential, float64(read.Bytes)/1e6/read.Seconds)
	fault, err := c.onColdMount(ctx, i, c.pages, touchFaults, c.mountedFile(), strconv.Itoa(c.advice))
	if err != nil {
		return err
	}
	if i == 0 { // the raw file is the first side
		c.rawCRC = fault.CRC32
	}
	if fault.CRC32 != c.rawCRC {
		return errOtherBytes
	}
	row.faults = append(row.faults, fault.MeanUS)
	row.p50 = append(row.p50, fault.P50US)
	row.p99 = append(row.p99, fault.P99US)
	return nil
}

// onColdMount drops the caches, mounts, runs the touching process, unmounts.
func (c *comparison) onColdMount(ctx context.Context, i int, stdin []byte, touch ...string) (r touchReport, err error) {
	p := c.peers[i]
	if err := dropCaches(ctx, packedFile(c.image(i))); err != nil {
		return r, err
	}
	for _, path := range c.keptWarm {
		if _, err := runTool(ctx, "cat", path); err != nil {
			return r, err
		}
	}
	if err := p.mount(ctx, c.image(i), c.point()); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.unmount(context.WithoutCancel(ctx), c.point())) }()
	return runTouch(ctx, bytes.NewReader(stdin), touch...)
}

func (r *peerRow) finish() {
	r.SequentialMBPerS, r.SequentialMinMBPS, r.SequentialMaxMBPS = spread(r.sequential)
	r.FaultMeanUS, r.FaultMeanMinUS, r.FaultMeanMaxUS = spread(r.faults)
	r.FaultP50US, _, _ = spread(r.p50)
	r.FaultP99US, _, _ = spread(r.p99)
}

// spread returns the median, the least and the greatest.
func spread(figures []float64) (median, least, greatest float64) {
	if len(figures) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]
}

func printPeers(out io.Writer, rows []peerRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "side\tsize MB\tpack MB/s\tsequential MB/s\t(min-max)\tfault mean us\t(min-max)\tp50\tp99\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.1f\t%.0f\t%.0f\t(%.0f-%.0f)\t%.1f\t(%.1f-%.1f)\t%.1f\t%.1f\t\n", r.Name, float64(r.SizeBytes)/1e6, r.PackMBPerS,
			r.SequentialMBPerS, r.SequentialMinMBPS, r.SequentialMaxMBPS, r.FaultMeanUS, r.FaultMeanMinUS, r.FaultMeanMaxUS, r.FaultP50US, r.FaultP99US)
	}
	return w.Flush()
}

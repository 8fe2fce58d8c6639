package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newInspectCommand() *cobra.Command {
	var flags inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what an image is made of",
		Long: `Show the header of an image, its sections, and how many frames each codec has.
With --frames, show the frame table instead: one row a frame, in the order of
the table. If PATH is a directory, every image below it is shown; the exit code
is that of the first one that cannot be read.

Of an image with a parent, the frames are its own, numbered as in the page map: those
of its parents come before. All images of the chain are shown, the one without a
parent first. If a parent is missing or damaged, that is said, and the image is shown
without the chain; verify makes an error of it.

As JSON, an image is one object; a directory is {"images": [...]}, and with
--frames each image is {"frames": [...]}.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInspect(cmd.OutOrStdout(), args[0], flags)
		},
	}
	cmd.Flags().BoolVar(&flags.frames, "frames", false, "show the frame table")
	flags.dirs.add(cmd.Flags())
	cmd.Flags().BoolVar(&flags.json, "json", false, "print as JSON")
	return cmd
}

// inspectFlags are the options of inspect.
type inspectFlags struct {
	frames bool
	dirs   parentFlags
	json   bool
}

func runInspect(out io.Writer, path string, flags inspectFlags) error {
	parents, err := flags.dirs.finder()
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	images, err := findImages(path)
	if err != nil {
		return err
	}
	reports := []report{}
	var found imageErrors
	for _, image := range images {
		r, err := inspectImage(image, flags.frames, parents)
		if err != nil {
			found = append(found, err)
			continue
		}
		reports = append(reports, r)
	}
	switch {
	case !flags.json:
		err = printReports(out, reports)
	case info.IsDir():
		err = printJSON(out, map[string]any{"images": reports})
	case len(reports) > 0:
		err = printJSON(out, reports[0])
	}
	if err != nil {
		return err
	}
	return found.err()
}

// report is what inspect shows of one image; it is printed as JSON too.
type report interface {
	print(out io.Writer) error
}

func inspectImage(path string, frames bool, parents *store.Parents) (report, error) {
	img, chainErr := store.Open(path, store.OpenOptions{Parents: parents})
	if chainErr != nil {
		var err error
		if img, err = store.Open(path, store.OpenOptions{Alone: true}); err != nil {
			return nil, chainErr
		}
	}
	defer img.Close()
	if frames {
		return newFramesReport(img)
	}
	r, err := newImageReport(img)
	return r, errors.Join(err, r.addLineage(img, chainErr))
}

func printReports(out io.Writer, reports []report) error {
	for i, r := range reports {
		if i > 0 {
			if _, err := fmt.Fprintln(out); err != nil {
				return err
			}
		}
		if err := r.print(out); err != nil {
			return err
		}
	}
	return nil
}

// frameRow is an entry of the frame table as it is printed.
type frameRow struct {
	PackedOff int64  `json:"packed_off"`
	PackedLen int    `json:"packed_len"`
	Codec     string `json:"codec"`
	Pages     int    `json:"pages"`
	CRC32     uint32 `json:"crc32"`
}

func newFrameRow(f store.FrameEntry) frameRow {
	return frameRow{f.PackedOff, f.PackedLen, f.Codec.String(), f.Pages, f.CRC32}
}

func forEachFrame(img *store.Image, visit func(store.FrameEntry)) error {
	h := img.Header()
	for frame := range h.FrameCount {
		entry, err := img.Frame(uint32((img.FirstFrame() + frame) & math.MaxUint32))
		if err != nil {
			return err
		}
		visit(entry)
	}
	return nil
}

// framesReport is the frame table of an image.
type framesReport struct {
	Path       string     `json:"path"`
	FirstFrame int64      `json:"first_frame"` // its number: those of parents come before
	Frames     []frameRow `json:"frames"`
}

func newFramesReport(img *store.Image) (framesReport, error) {
	r := framesReport{Path: img.Path(), FirstFrame: img.FirstFrame(), Frames: []frameRow{}}
	err := forEachFrame(img, func(f store.FrameEntry) { r.Frames = append(r.Frames, newFrameRow(f)) })
	return r, err
}

func (r framesReport) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s:\n", r.Path); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "FRAME\tPACKED OFFSET\tBYTES\tCODEC\tPAGES\tCRC-32\t")
	for i, f := range r.Frames {
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%d\t%08x\t\n", r.FirstFrame+int64(i), f.PackedOff, f.PackedLen, f.Codec, f.Pages, f.CRC32)
	}
	return w.Flush()
}

// codecReport sums the frames of one codec.
type codecReport struct {
	Frames      int64 `json:"frames"`
	RawBytes    int64 `json:"raw_bytes"`
	PackedBytes int64 `json:"packed_bytes"`
}

func countFrame(codecs map[string]codecReport, f store.FrameEntry) {
	c := codecs[f.Codec.String()]
	c.Frames++
	c.RawBytes += int64(f.RawBytes())
	c.PackedBytes += int64(f.PackedLen)
	codecs[f.Codec.String()] = c
}

// imageReport is what inspect shows of an image.
type imageReport struct {
	Path            string                 `json:"path"`
	Version         uint32                 `json:"version"`
	UUID            string                 `json:"uuid"`
	Digest          string                 `json:"digest"`
	CreatedAt       time.Time              `json:"created_at"`
	RawBytes        int64                  `json:"raw_bytes"`
	PackedBytes     int64                  `json:"packed_bytes"`
	Ratio           float64                `json:"ratio"`
	TableBytes      int64                  `json:"table_bytes"` // page map and frame table with their checksums
	Pages           int64                  `json:"pages"`
	ZeroPages       int64                  `json:"zero_pages"`
	DuplicatePages  int64                  `json:"duplicate_pages"`
	ParentPages     int64                  `json:"parent_pages"`
	Frames          int64                  `json:"frames"`
	HotFrames       int64                  `json:"hot_frames"`
	MaxFrameBytes   int                    `json:"max_frame_bytes"`
	Codecs          map[string]codecReport `json:"codecs"`
	HotCodecs       map[string]codecReport `json:"hot_codecs"` // of the frames for the working set
	WorkingSetPages int64                  `json:"working_set_pages"`
	WorkingSetRuns  int                    `json:"working_set_runs"`
	SharedTables    int                    `json:"shared_tables"`
	CompatFlags     uint64                 `json:"compat_flags"`
	ROCompatFlags   uint64                 `json:"ro_compat_flags"`
	IncompatFlags   uint64                 `json:"incompat_flags"`
	Sections        []store.SectionInfo    `json:"sections"`
	lineage
}

func newImageReport(img *store.Image) (*imageReport, error) {
	h := img.Header()
	r := &imageReport{
		Path: img.Path(), Version: h.Version, UUID: h.UUID.String(), Digest: h.Digest.String(), CreatedAt: h.CreatedAt,
		RawBytes: h.RawBytes, PackedBytes: h.FileBytes, Ratio: ratio(h.RawBytes, h.FileBytes),
		Pages: h.PageCount(), ZeroPages: h.ZeroPages, DuplicatePages: h.DuplicatePages, ParentPages: h.ParentPages,
		Frames: h.FrameCount, HotFrames: h.HotFrames, MaxFrameBytes: h.MaxPagesPerFrame() * store.PageBytes,
		Codecs: make(map[string]codecReport), HotCodecs: make(map[string]codecReport), CompatFlags: h.Compat, ROCompatFlags: h.ROCompat, IncompatFlags: h.Incompat,
		Sections: h.Sections(), TableBytes: h.TableBytes(),
	}
	var frames int64
	err := forEachFrame(img, func(f store.FrameEntry) {
		countFrame(r.Codecs, f)
		if frames++; frames <= h.HotFrames {
			countFrame(r.HotCodecs, f)
		}
	})
	runs, wsErr := img.WorkingSet()
	r.WorkingSetRuns = len(runs)
	for _, run := range runs {
		r.WorkingSetPages += int64(run.PageCount)
	}
	tables, tablesErr := img.SharedTables()
	r.SharedTables = len(tables)
	return r, errors.Join(err, wsErr, tablesErr)
}

func (r *imageReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("image", "%s", r.Path)
	row("format version", "%d", r.Version)
	row("uuid", "%s", r.UUID)
	row("content digest", "%s", r.Digest)
	row("created", "%s", r.CreatedAt.Format(time.RFC3339))
	row("raw size", "%s (%d)", humanBytes(r.RawBytes), r.RawBytes)
	row("packed size", "%s (%d), %.2f : 1", humanBytes(r.PackedBytes), r.PackedBytes, r.Ratio)
	row("tables", "%s, %.3f %% of the raw size", humanBytes(r.TableBytes), 100*ratio(r.TableBytes, r.RawBytes))
	row("pages", "%d: %d zero, %d duplicate, %d inherited", r.Pages, r.ZeroPages, r.DuplicatePages, r.ParentPages)
	row("frames", "%d of at most %s", r.Frames, humanBytes(int64(r.MaxFrameBytes)))
	rows := func(codecs map[string]codecReport) {
		for _, codec := range sortedCodecs(codecs) {
			c := codecs[codec]
			row("  "+codec, "%d frames, %s -> %s", c.Frames, humanBytes(c.RawBytes), humanBytes(c.PackedBytes))
		}
	}
	rows(r.Codecs)
	row("working set", "%d pages in %d runs; of the frames, the first %d", r.WorkingSetPages, r.WorkingSetRuns, r.HotFrames)
	rows(r.HotCodecs)
	row("shared tables", "%d", r.SharedTables)
	r.lineage.print(row)
	row("feature flags", "compat %#x, ro-compat %#x, incompat %#x", r.CompatFlags, r.ROCompatFlags, r.IncompatFlags)
	for _, s := range r.Sections {
		row("section", "%s at %d, %d bytes", strings.ReplaceAll(s.Name, "-", " "), s.PackedOff, s.LenBytes)
	}
	return w.Flush()
}

package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// coldRow is the result for one function. Times are medians, in milliseconds.
type coldRow struct {
	Function string `json:"function"`
	Guest    string `json:"guest"`
	Runs     int    `json:"runs"`
	// ThrottleMBPerS is the rate that reads were held to, 0 if they were not.
	ThrottleMBPerS int `json:"throttle_mb_per_s"`
	// WorkingSetMB and what follows are zero where no working set was recorded.
	WorkingSetMB    float64 `json:"working_set_mb"`
	PackedMB        float64 `json:"packed_mb"` // of the frames that hold the working set
	Ratio           float64 `json:"ratio"`
	ImageMB         float64 `json:"image_mb"` // without layout
	GrowthPercent   float64 `json:"growth_percent"`
	RestoreSavedPct float64 `json:"restore_saved_percent"` // by ws, of reap's time

	ColdStarts []coldSideRow    `json:"cold_starts"`
	Restores   []restoreSideRow `json:"restores,omitempty"`
}

// coldSideRow is one side under QEMU.
type coldSideRow struct {
	Side          string  `json:"side"`
	FileMB        float64 `json:"file_mb"` // of the memory file or the image, without its parents
	TotalMS       float64 `json:"total_ms"`
	TotalMinMS    float64 `json:"total_min_ms"`
	TotalMaxMS    float64 `json:"total_max_ms"`
	AfterStartMS  float64 `json:"after_start_ms"`
	AfterMinMS    float64 `json:"after_start_min_ms"`
	AfterMaxMS    float64 `json:"after_start_max_ms"`
	QEMUStartMS   float64 `json:"qemu_start_ms"`
	IncomingMS    float64 `json:"incoming_ms"`
	FirstAnswerMS float64 `json:"first_answer_ms"`
	// OverheadMS is TotalMS without that of raw-warm; LeftShare is its share of
	// raw-cold's, and AfterStartLeft the same without QEMU's start. Null where one of
	// the two was not measured, or where raw-cold had no overhead.
	OverheadMS     *float64 `json:"overhead_ms"`
	LeftShare      *float64 `json:"left_share"`
	AfterStartLeft *float64 `json:"after_start_left_share"`
	// What the mount has counted until the last answer, medians: the reads that the
	// kernel asked for, what prefetch had pushed, and what it pushed too late.
	Reads     float64 `json:"reads"`
	ReadMB    float64 `json:"read_mb"`
	PushedMB  float64 `json:"pushed_mb"`
	LatePages float64 `json:"late_pages"`
}

// restoreSideRow is one side of the restore part.
type restoreSideRow struct {
	Side      string  `json:"side"`
	TotalMS   float64 `json:"total_ms"`
	MinMS     float64 `json:"total_min_ms"`
	MaxMS     float64 `json:"total_max_ms"`
	PrepareMS float64 `json:"prepare_ms"` // opening, mapping, reading
	InstallMS float64 `json:"install_ms"`
	TouchMS   float64 `json:"touch_ms"`
}

func (r *functionRun) row() (coldRow, error) {
	row := coldRow{
		Function: r.function.Name, Guest: r.guest.name, Runs: r.flags.runs, ThrottleMBPerS: r.flags.throttle,
		WorkingSetMB: float64(r.set.rawBytes) / 1e6, PackedMB: float64(r.set.packedBytes) / 1e6,
		ImageMB: float64(r.set.imageBytes) / 1e6,
	}
	if r.set.packedBytes > 0 {
		row.Ratio = float64(r.set.rawBytes) / float64(r.set.packedBytes)
		row.GrowthPercent = 100 * (float64(r.set.laidOutBytes)/float64(r.set.imageBytes) - 1)
	}
	for _, side := range r.coldSides() {
		sideRow := newColdSideRow(side.name, r.cold[side.name], r.stats[side.name])
		file, err := os.Stat(r.sidePath(side))
		if err != nil {
			return row, err
		}
		sideRow.FileMB = float64(file.Size()) / 1e6
		row.ColdStarts = append(row.ColdStarts, sideRow)
	}
	fillOverheads(row.ColdStarts)
	if r.has(sideRestore) {
		for _, side := range r.restoreSides() {
			row.Restores = append(row.Restores, newRestoreSideRow(side.name, r.restores[side.name]))
		}
		row.RestoreSavedPct = savedPercent(row.Restores)
	}
	return row, nil
}

// sidePath is the file that has the guest's memory on a side.
func (r *functionRun) sidePath(side coldSide) string {
	if side.store == "" {
		return r.rawPath(r.guest)
	}
	return imageIn(side.store, r.guest)
}

func newColdSideRow(side string, runs []coldTimes, stats []mountStats) coldSideRow {
	row := coldSideRow{Side: side}
	row.Reads = medianOf(stats, func(s mountStats) int64 { return s.Reads })
	row.ReadMB = medianOf(stats, func(s mountStats) int64 { return s.ReadBytes }) / 1e6
	row.PushedMB = medianOf(stats, func(s mountStats) int64 { return s.PushedBytes }) / 1e6
	row.LatePages = medianOf(stats, func(s mountStats) int64 { return s.LatePages })
	row.TotalMS, row.TotalMinMS, row.TotalMaxMS = spread(millisecondsOf(runs, func(t coldTimes) time.Duration { return t.total }))
	row.AfterStartMS, row.AfterMinMS, row.AfterMaxMS = spread(millisecondsOf(runs, coldTimes.afterStart))
	row.QEMUStartMS, _, _ = spread(millisecondsOf(runs, func(t coldTimes) time.Duration { return t.qemu.QEMUStart }))
	row.IncomingMS, _, _ = spread(millisecondsOf(runs, func(t coldTimes) time.Duration { return t.qemu.Incoming }))
	row.FirstAnswerMS, _, _ = spread(millisecondsOf(runs, func(t coldTimes) time.Duration { return t.qemu.FirstAnswer }))
	return row
}

func newRestoreSideRow(side string, runs []restoreTimes) restoreSideRow {
	row := restoreSideRow{Side: side}
	row.TotalMS, row.MinMS, row.MaxMS = spread(millisecondsOf(runs, restoreTimes.total))
	row.PrepareMS, _, _ = spread(millisecondsOf(runs, func(t restoreTimes) time.Duration { return t.Prepare }))
	row.InstallMS, _, _ = spread(millisecondsOf(runs, func(t restoreTimes) time.Duration { return t.Install }))
	row.TouchMS, _, _ = spread(millisecondsOf(runs, func(t restoreTimes) time.Duration { return t.Touch }))
	return row
}

func millisecondsOf[Times any](runs []Times, phase func(Times) time.Duration) []float64 {
	figures := make([]float64, 0, len(runs))
	for _, run := range runs {
		figures = append(figures, milliseconds(phase(run)))
	}
	return figures
}

func medianOf(stats []mountStats, count func(mountStats) int64) float64 {
	figures := make([]float64, 0, len(stats))
	for _, s := range stats {
		figures = append(figures, float64(count(s)))
	}
	median, _, _ := spread(figures)
	return median
}

func milliseconds(d time.Duration) float64 { return microseconds(d) / 1e3 }

// fillOverheads relates every side to the raw file, warm and cold.
func fillOverheads(rows []coldSideRow) {
	var cold, warm *coldSideRow
	for i := range rows {
		switch rows[i].Side {
		case sideRawCold:
			cold = &rows[i]
		case sideRawWarm:
			warm = &rows[i]
		}
	}
	if cold == nil || warm == nil {
		return
	}
	for i := range rows {
		overhead := rows[i].TotalMS - warm.TotalMS
		rows[i].OverheadMS = &overhead
		rows[i].LeftShare = share(overhead, cold.TotalMS-warm.TotalMS)
		rows[i].AfterStartLeft = share(rows[i].AfterStartMS-warm.AfterStartMS, cold.AfterStartMS-warm.AfterStartMS)
	}
}

// share is nil where the whole is nothing, or less.
func share(part, whole float64) *float64 {
	if whole <= 0 {
		return nil
	}
	s := part / whole
	return &s
}

// savedPercent is the part of reap's time that ws saves, as table 3 of the Sabre paper
// counts it.
func savedPercent(rows []restoreSideRow) float64 {
	var reap, ours float64
	for _, row := range rows {
		switch row.Side {
		case restoreReap:
			reap = row.TotalMS
		case sideLaidOut:
			ours = row.TotalMS
		}
	}
	if reap == 0 {
		return 0
	}
	return 100 * (1 - ours/reap)
}

func printColdstart(out io.Writer, rows []coldRow) error {
	for _, row := range rows {
		fmt.Fprintf(out, "%s (guest %s)", row.Function, row.Guest)
		if row.ThrottleMBPerS > 0 {
			fmt.Fprintf(out, ", reads held to %d MB/s", row.ThrottleMBPerS)
		}
		fmt.Fprintln(out)
		if row.WorkingSetMB > 0 {
			fmt.Fprintf(out, "working set %.1f MB, packed %.1f MB, ratio %.2f; image %.1f MB, with layout %+.1f %%\n",
				row.WorkingSetMB, row.PackedMB, row.Ratio, row.ImageMB, row.GrowthPercent)
		}
		if err := printColdSides(out, row.ColdStarts); err != nil {
			return err
		}
		if err := printRestores(out, row); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	return nil
}

func printColdSides(out io.Writer, rows []coldSideRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "side\tfile MB\ttotal ms\t(min-max)\tQEMU start\tincoming\tfirst answer\toverhead\tleft\twithout start ms\t(min-max)\tleft\treads\tMB\tpushed MB\tlate\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t(%.1f-%.1f)\t%.1f\t%.1f\t%.1f\t%s\t%s\t%.1f\t(%.1f-%.1f)\t%s\t%.0f\t%.1f\t%.1f\t%.0f\t\n", r.Side, r.FileMB, r.TotalMS, r.TotalMinMS, r.TotalMaxMS,
			r.QEMUStartMS, r.IncomingMS, r.FirstAnswerMS, orDash(r.OverheadMS, "%.1f"), orDash(r.LeftShare, "%.2f"),
			r.AfterStartMS, r.AfterMinMS, r.AfterMaxMS, orDash(r.AfterStartLeft, "%.2f"), r.Reads, r.ReadMB, r.PushedMB, r.LatePages)
	}
	return w.Flush()
}

func orDash(figure *float64, format string) string {
	if figure == nil {
		return "-"
	}
	return fmt.Sprintf(format, *figure)
}

func printRestores(out io.Writer, row coldRow) error {
	if len(row.Restores) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "restore\ttotal ms\t(min-max)\tprepare\tinstall\ttouch\t")
	for _, r := range row.Restores {
		fmt.Fprintf(w, "%s\t%.1f\t(%.1f-%.1f)\t%.1f\t%.1f\t%.1f\t\n", r.Side, r.TotalMS, r.MinMS, r.MaxMS, r.PrepareMS, r.InstallMS, r.TouchMS)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "ws is %.0f %% faster than reap\n", row.RestoreSavedPct)
	return nil
}

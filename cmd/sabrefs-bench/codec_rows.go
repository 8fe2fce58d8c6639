package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"sabrefs/iaa"
)

// Modes of rows about single pages.
const (
	modeContinuous = "continuous"
	modeNaive      = "naive"
	modeShared     = "shared"
)

// codecRow is the result of an engine on a stream. Speeds are of raw bytes, 10^6
// bytes a second; ratio is raw to packed.
type codecRow struct {
	Codec            string  `json:"codec"`
	Engine           string  `json:"engine"`           // who decodes
	Stream           string  `json:"stream,omitempty"` // who compressed
	Level            int     `json:"level"`
	FrameBytes       int     `json:"frame_bytes"`
	Ratio            float64 `json:"ratio"`
	CompressMBPerS   float64 `json:"compress_mb_per_s"`
	DecompressMBPerS float64 `json:"decompress_mb_per_s"`
	P50US            float64 `json:"p50_us"`
	P99US            float64 `json:"p99_us"`
	Jobs             int     `json:"jobs,omitempty"`
	Mode             string  `json:"mode,omitempty"`
	SizeBytes        int     `json:"size_bytes,omitempty"` // of all that was restored

	perRound []float64 // decompress_mb_per_s
}

func newStreamRow(s *stream, rawBytes int) codecRow {
	return codecRow{
		Codec: s.codec, Stream: s.name, Level: s.level, FrameBytes: s.frameBytes, Mode: s.mode,
		Ratio:          float64(rawBytes) / float64(s.packedBytes),
		CompressMBPerS: megabytesPerSecond(rawBytes, s.took),
	}
}

// rows are the results of all contenders.
func (b *codecBench) rows() []codecRow {
	var rows []codecRow
	for _, c := range b.contenders {
		row := newStreamRow(c.stream, len(b.raw))
		row.Engine, row.Jobs, row.perRound = c.engine, c.jobs, c.perRound
		if c.mode != "" {
			row.Mode = c.mode
		}
		row.DecompressMBPerS, _, _ = spread(c.perRound)
		row.P50US, row.P99US = percentile(c.latencies, 50), percentile(c.latencies, 99)
		rows = append(rows, row)
	}
	return append(rows, b.chunkRows(rows)...)
}

// chunkRows repeats what says whether pages are better compressed alone or
// together, under the names of that question.
func (b *codecBench) chunkRows(rows []codecRow) []codecRow {
	modes := map[int]string{pageBytes: modeNaive, 64 * kib: modeContinuous, maxFrameBytes: modeContinuous}
	var chosen []codecRow
	for _, row := range rows {
		mode, asked := modes[row.FrameBytes]
		ours := row.Stream == b.software().Name() && row.Engine == row.Stream && row.Level == iaa.DefaultLevel
		if asked && ours && row.Mode == "" && row.Jobs == 0 {
			row.Mode = mode
			chosen = append(chosen, row)
		}
	}
	return chosen
}

func printCodec(out io.Writer, rows []codecRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "codec\tengine\tstream\tlevel\tframe KiB\tratio\tcompress MB/s\tdecode MB/s\tp50 us\tp99 us\tjobs\tmode\tsize KiB\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%.3f\t%.0f\t%.0f\t%.1f\t%.1f\t%s\t%s\t%s\t\n", r.Codec, r.Engine, r.Stream, r.Level, r.FrameBytes/kib,
			r.Ratio, r.CompressMBPerS, r.DecompressMBPerS, r.P50US, r.P99US, unlessZero(r.Jobs), r.Mode, unlessZero(r.SizeBytes/kib))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printComparisons(out, rows)
}

func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// rowPair are two rows to compare. Codec, Engine, Stream, Level, FrameBytes, Mode
// and Jobs name each of them.
type rowPair struct {
	what         string
	ours, theirs codecRow
	bySize       bool // compare ratios instead of speeds
}

// softwareRow and libdeflateRow are rows of these engines on a stream.
func softwareRow(stream string, level, frameBytes int) codecRow {
	return codecRow{Codec: partDeflate, Engine: iaa.Software().Name(), Stream: stream, Level: level, FrameBytes: frameBytes}
}

func libdeflateRow(stream string, level, frameBytes int) codecRow {
	return codecRow{Codec: partDeflate, Engine: nameLibdeflate, Stream: stream, Level: level, FrameBytes: frameBytes}
}

func (r codecRow) single() codecRow {
	r.Mode = modeSingle
	return r
}

// pairsToCompare are the figures that matter.
func pairsToCompare() []rowPair {
	software := iaa.Software().Name()
	var pairs []rowPair
	for _, frameBytes := range []int{16 * kib, 4 * kib} {
		pairs = append(pairs, pairsOfSize(frameBytes)...)
	}
	libdeflate := libdeflateRow(nameLibdeflate, peerLevel, pageBytes)
	shared, dense := softwareRow(software, iaa.DefaultLevel, pageBytes), softwareRow(software, iaa.MaxLevel, pageBytes)
	shared.Mode, dense.Mode = modeShared, modeShared
	return append(pairs,
		rowPair{"4 KiB: speed of shared tables to libdeflate", shared, libdeflate, false},
		rowPair{"4 KiB: ratio of shared tables, level 5, to libdeflate's level 6", shared, libdeflate, true},
		rowPair{"4 KiB: ratio of shared tables, level 9, to libdeflate's level 6", dense, libdeflate, true})
}

func pairsOfSize(frameBytes int) []rowPair {
	software := iaa.Software().Name()
	size := fmt.Sprintf("%d KiB: ", frameBytes/kib)
	const single = "software, one frame a call,"
	onTheirs, onOurs := softwareRow(nameLibdeflate, peerLevel, frameBytes), softwareRow(software, iaa.DefaultLevel, frameBytes)
	theirs := libdeflateRow(nameLibdeflate, peerLevel, frameBytes)
	theirsOnOurs := libdeflateRow(software, iaa.DefaultLevel, frameBytes)
	return []rowPair{
		{size + "speed of software to libdeflate, both decoding libdeflate's stream", onTheirs, theirs, false},
		{size + "speed of " + single + " to libdeflate, both decoding libdeflate's stream", onTheirs.single(), theirs, false},
		{size + "speed of software to libdeflate, both decoding software's stream", onOurs, theirsOnOurs, false},
		{size + "speed of " + single + " to libdeflate, both decoding software's stream", onOurs.single(), theirsOnOurs, false},
		{size + "speed of software to libdeflate, each decoding its own stream", onOurs, theirs, false},
		{size + "ratio of software's level 9 to libdeflate's level 6", softwareRow(software, iaa.MaxLevel, frameBytes), theirs, true},
	}
}

func printComparisons(out io.Writer, rows []codecRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w)
	for _, c := range pairsToCompare() {
		ours, haveOurs := findRow(rows, c.ours)
		theirs, haveTheirs := findRow(rows, c.theirs)
		if !haveOurs || !haveTheirs {
			continue
		}
		if c.bySize {
			fmt.Fprintf(w, "%s\t%.3f\n", c.what, ours.Ratio/theirs.Ratio)
			continue
		}
		median, least, greatest := spread(ratios(ours.perRound, theirs.perRound))
		fmt.Fprintf(w, "%s\t%.2f\t(%.2f-%.2f)\n", c.what, median, least, greatest)
	}
	return w.Flush()
}

// ratios compares two contenders round by round, as they were disturbed alike.
func ratios(ours, theirs []float64) []float64 {
	var list []float64
	for i := range min(len(ours), len(theirs)) {
		list = append(list, ours[i]/theirs[i])
	}
	return list
}

func findRow(rows []codecRow, like codecRow) (codecRow, bool) {
	i := slices.IndexFunc(rows, func(r codecRow) bool {
		return r.Codec == like.Codec && r.Engine == like.Engine && r.Stream == like.Stream && r.Level == like.Level &&
			r.FrameBytes == like.FrameBytes && r.Mode == like.Mode && r.Jobs == like.Jobs
	})
	if i < 0 {
		return codecRow{}, false
	}
	return rows[i], true
}

package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"sabrefs/store"
)

// snapshotRow is the result of packing a snapshot as JSON.
type snapshotRow struct {
	Path        string    `json:"path"`
	Images      []packRow `json:"images"`
	RawBytes    int64     `json:"raw_bytes"`
	PackedBytes int64     `json:"packed_bytes"`
	Ratio       float64   `json:"ratio"`
	CopiedFiles int64     `json:"copied_files"`
	CopiedBytes int64     `json:"copied_bytes"`
	Skipped     []string  `json:"skipped"`
}

func newSnapshotRow(path string, result store.SnapshotResult) snapshotRow {
	row := snapshotRow{Path: path, CopiedFiles: result.CopiedFiles, CopiedBytes: result.CopiedBytes, Skipped: []string{}}
	row.Skipped = append(row.Skipped, result.Skipped...)
	for _, name := range slices.Sorted(maps.Keys(result.Images)) {
		image := newPackRow(filepath.Join(path, name+store.ImageSuffix), result.Images[name])
		row.Images = append(row.Images, image)
		row.RawBytes += image.RawBytes
		row.PackedBytes += image.PackedBytes
	}
	row.Ratio = ratio(row.RawBytes, row.PackedBytes)
	return row
}

func printSnapshotResult(out io.Writer, path string, result store.SnapshotResult, asJSON bool) error {
	row := newSnapshotRow(path, result)
	if asJSON {
		return printJSON(out, row)
	}
	for _, image := range row.Images {
		if err := image.print(out); err != nil {
			return err
		}
	}
	for _, name := range row.Skipped {
		if _, err := fmt.Fprintf(out, "%s: left out, it is not a file\n", name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s: %d other files copied, %s\n", path, row.CopiedFiles, humanBytes(row.CopiedBytes))
	return err
}

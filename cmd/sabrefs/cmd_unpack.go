package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newUnpackCommand() *cobra.Command {
	var flags unpackFlags
	cmd := &cobra.Command{
		Use:   "unpack SRC DST",
		Short: "Unpack an image or a packed snapshot",
		Long: `Unpack an image into the memory file it was made of, or a packed snapshot into
a directory. The result is byte-identical and sparse: zero pages become holes.
The content is compared with the digest recorded when it was packed before DST
appears.

If SRC is an image and DST an existing directory, the memory file gets the
image's name without .sabre.

An image with a parent is unpacked whole; the parents have to be there.`,
		Example: `  sabrefs unpack /store/python /tmp/python
  sabrefs unpack mem_file.sabre mem_file`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUnpack(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], flags)
		},
	}
	cmd.Flags().BoolVar(&flags.force, "force", false, "replace DST if it exists")
	flags.dirs.add(cmd.Flags())
	cmd.Flags().BoolVar(&flags.json, "json", false, "print the result as JSON")
	return cmd
}

// unpackFlags are the options of unpack.
type unpackFlags struct {
	force bool
	dirs  parentFlags
	json  bool
}

func runUnpack(ctx context.Context, out io.Writer, src, dst string, flags unpackFlags) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	opt := store.UnpackOptions{Overwrite: flags.force}
	if opt.Parents, err = flags.dirs.finder(); err != nil {
		return err
	}
	if info.IsDir() {
		return unpackDirectory(ctx, out, src, dst, flags.json, opt)
	}
	dst = intoDirectory(dst, strings.TrimSuffix(filepath.Base(src), store.ImageSuffix))
	total, err := imageBytes(src)
	if err != nil {
		return err
	}
	report, finish := progressBar("unpacking", total)
	opt.Progress = report
	header, err := store.UnpackFile(ctx, src, dst, opt)
	finish()
	if err != nil {
		return err
	}
	if flags.json {
		return printJSON(out, unpackRow{dst, header.RawBytes, header.FileBytes, header.UUID.String(), header.Digest.String()})
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", dst, humanBytes(header.RawBytes))
	return err
}

// unpackRow is the result of one memory file as JSON.
type unpackRow struct {
	Path        string `json:"path"`
	RawBytes    int64  `json:"raw_bytes"`
	PackedBytes int64  `json:"packed_bytes"`
	UUID        string `json:"uuid"`
	Digest      string `json:"digest"`
}

func unpackDirectory(ctx context.Context, out io.Writer, src, dst string, asJSON bool, opt store.UnpackOptions) error {
	total, err := imageBytes(src)
	if err != nil {
		return err
	}
	report, finish := progressBar("unpacking", total)
	opt.Progress = report
	result, err := store.UnpackSnapshot(ctx, src, dst, opt)
	finish()
	if err != nil {
		return err
	}
	if !asJSON {
		_, err = fmt.Fprintf(out, "%s: %d memory files, %s; %d other files copied\n", dst, len(result.Images), humanBytes(total), result.CopiedFiles)
		return err
	}
	row := snapshotUnpackRow{Path: dst, CopiedFiles: result.CopiedFiles, CopiedBytes: result.CopiedBytes}
	for _, name := range slices.Sorted(maps.Keys(result.Images)) {
		image, path := result.Images[name], filepath.Join(dst, strings.TrimSuffix(name, store.ImageSuffix))
		row.Files = append(row.Files, unpackRow{path, image.RawBytes, image.PackedBytes, image.UUID.String(), image.Digest})
	}
	return printJSON(out, row)
}

// snapshotUnpackRow is the result of a snapshot as JSON.
type snapshotUnpackRow struct {
	Path        string      `json:"path"`
	Files       []unpackRow `json:"files"`
	CopiedFiles int64       `json:"copied_files"`
	CopiedBytes int64       `json:"copied_bytes"`
}

// imageBytes is the raw size of an image, or of all images below a directory.
func imageBytes(path string) (int64, error) {
	var total int64
	images, err := findImages(path)
	for _, path := range images {
		if h, err := store.ReadHeader(path); err == nil { // else unpack itself reports it
			total += h.RawBytes
		}
	}
	return total, err
}

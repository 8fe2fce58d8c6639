package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

// packFlags are the options of pack.
type packFlags struct {
	codec      string
	level      string
	frameSize  byteSize
	tables     int
	workingSet string
	hot        hotFlags
	workers    int
	memory     []string
	force      bool
	json       bool
}

func newPackCommand() *cobra.Command {
	var flags packFlags
	cmd := &cobra.Command{
		Use:   "pack SRC DST",
		Short: "Pack a memory file or a snapshot directory",
		Long: `Pack a memory file into an image at DST, or a snapshot directory into the
directory DST of a store.

In a snapshot directory the memory files become NAME.sabre and everything else
is copied byte for byte. Memory files are known by their usual names (mem_file,
memfile, memory, memory.bin, memory-ranges, mem, *.mem) and by --memory.

If SRC is a file and DST an existing directory, the image is put into DST, with
.sabre added to the name of the file.

DST appears when it is complete; a pack that fails or is killed leaves what was
there. The VM must not run meanwhile: a memory file that changes is refused.

Codecs: zstd is the densest; lz4 decodes fastest; deflate can be decoded by
Intel's In-Memory Analytics Accelerator; raw stores pages as they are, without
zero and duplicate pages. auto is what this host reads best. A frame is what a
page fault decodes: larger frames are denser, smaller ones answer sooner.

--working-set puts what a guest touches when it resumes first: it names a trace
file that was recorded on a mounted image of the same memory, or a directory that
has such files as PATH.ws, PATH being that of the memory file in the snapshot. If
the memory that was packed turns out to be other than what was recorded, the pack
fails. The level does not lower the density of lz4 there, unless it is fast. See
also sabrefs repack, which does the same to images.`,
		Example: `  sabrefs pack /snapshots/python /store/python
  sabrefs pack --level best mem_file mem_file.sabre
  sabrefs pack --memory 'ram-*.img' snapdir /store/snap
  sabrefs pack --working-set /traces/python /snapshots/python /store/python`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPack(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.codec, "codec", "auto", "auto, deflate, zstd, lz4 or raw")
	f.StringVar(&flags.level, "level", "default", "fast, default, better or best")
	f.Var(&flags.frameSize, "frame-size", "raw size of a frame, 4K to 256K, a power of two (default: by codec and level)")
	f.IntVar(&flags.tables, "shared-tables", autoTables, "Huffman tables that deflate frames may share, 0 to 64 (default: 16 for frames of 4K, else none)")
	f.Lookup("shared-tables").DefValue = "" // the text says it
	f.StringVar(&flags.workingSet, "working-set", "", "trace file, or directory of traces, of what comes first")
	flags.hot.add(f)
	f.IntVar(&flags.workers, "workers", 0, "number of cores to use (default: all)")
	f.StringArrayVar(&flags.memory, "memory", nil, "pattern of names of memory files, beside the usual ones (repeatable)")
	f.BoolVar(&flags.force, "force", false, "replace DST if it exists")
	f.BoolVar(&flags.json, "json", false, "print the result as JSON")
	return cmd
}

// options turns flags into options of the store.
func (flags packFlags) options() (store.PackOptions, error) {
	opt := store.PackOptions{Workers: flags.workers, Overwrite: flags.force}
	var err error
	if opt.Level, err = store.ParseLevel(flags.level); err != nil {
		return opt, err
	}
	if flags.codec != "auto" {
		if opt.Codec, err = store.ParseCodec(flags.codec); err != nil {
			return opt, err
		}
		opt.Raw = opt.Codec == store.CodecRaw
	}
	if !validFrameSize(int64(flags.frameSize)) {
		return opt, usageError{fmt.Errorf("--frame-size %s: expected a power of two from 4K to 256K", &flags.frameSize)}
	}
	opt.FramePages = int(flags.frameSize) / store.PageBytes
	switch flags.tables {
	case autoTables:
	case 0:
		opt.SharedTables = store.NoSharedTables
	default:
		opt.SharedTables = flags.tables
	}
	return opt, flags.hot.apply(&opt)
}

// autoTables leaves the number of shared tables to the store.
const autoTables = -1

// validFrameSize accepts the sizes of frames, and 0 for the default.
func validFrameSize(n int64) bool {
	return n == 0 || n >= store.PageBytes && n <= store.MaxFrameBytes && n&(n-1) == 0
}

func runPack(ctx context.Context, out io.Writer, src, dst string, flags packFlags) error {
	opt, err := flags.options()
	if err != nil {
		return err
	}
	names, err := store.NewMemoryNames(flags.memory)
	if err != nil {
		return err
	}
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	recorded, err := openTraces(flags.workingSet)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return packDirectory(ctx, out, packDirs{src, dst}, names, recorded, flags.json, opt)
	}
	if recorded != nil {
		if err := recorded.lead(&opt, src, info.Size()); err != nil {
			return err
		}
	}
	return packFile(ctx, out, src, intoDirectory(dst, filepath.Base(src)+store.ImageSuffix), info.Size(), flags.json, opt)
}

// intoDirectory returns dst, or the path of name in dst if dst is a directory.
func intoDirectory(dst, name string) string {
	if info, err := os.Stat(dst); err == nil && info.IsDir() {
		return filepath.Join(dst, name)
	}
	return dst
}

func packFile(ctx context.Context, out io.Writer, src, dst string, rawBytes int64, asJSON bool, opt store.PackOptions) error {
	report, finish := progressBar("packing", rawBytes)
	opt.Progress = report
	result, err := store.PackFile(ctx, src, dst, opt)
	finish()
	if err != nil {
		return err
	}
	row := newPackRow(dst, result)
	if asJSON {
		return printJSON(out, row)
	}
	return row.print(out)
}

// packDirs are a snapshot and what is made of it.
type packDirs struct{ src, dst string }

func packDirectory(ctx context.Context, out io.Writer, dirs packDirs, names store.MemoryNames, recorded *traces, asJSON bool, opt store.PackOptions) error {
	files, err := memoryFiles(dirs.src, names)
	if err != nil {
		return err
	}
	if recorded != nil {
		if opt.ForFile, err = recorded.forFiles(dirs.src, files); err != nil {
			return err
		}
	}
	var total int64
	for _, rawBytes := range files {
		total += rawBytes
	}
	report, finish := progressBar("packing", total)
	opt.Progress = report
	result, err := store.PackSnapshot(ctx, dirs.src, dirs.dst, names, opt)
	finish()
	if err != nil {
		return err
	}
	return printSnapshotResult(out, dirs.dst, result, asJSON)
}

// memoryFiles are the sizes of all memory files of a snapshot, by their paths in
// it.
func memoryFiles(dir string, names store.MemoryNames) (map[string]int64, error) {
	files := map[string]int64{}
	// the separator makes the walk enter dir if that is a symbolic link
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !names.Match(e.Name()) {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = info.Size()
		return err
	})
	return files, err
}

// packRow is the result of one image as it is printed.
type packRow struct {
	Path string `json:"path"`
	store.PackResult
	Ratio   float64 `json:"ratio"`
	Seconds float64 `json:"seconds"`
	MBPerS  float64 `json:"mb_per_s"` // of raw size
}

func newPackRow(path string, r store.PackResult) packRow {
	row := packRow{Path: path, PackResult: r, Ratio: ratio(r.RawBytes, r.PackedBytes), Seconds: r.Duration.Seconds()}
	if r.Duration > 0 {
		row.MBPerS = float64(r.RawBytes) / 1e6 / r.Duration.Seconds()
	}
	return row
}

func (r packRow) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s: %s -> %s (%.2f : 1), %d zero and %d duplicate pages of %d, %s%s, %.1f s\n",
		r.Path, humanBytes(r.RawBytes), humanBytes(r.PackedBytes), r.Ratio, r.ZeroPages, r.DuplicatePages, r.PageCount,
		r.Codec, r.layout(), r.Duration.Round(100*time.Millisecond).Seconds())
	return err
}

// layout tells of the working set, if there is one.
func (r packRow) layout() string {
	if r.WorkingSetPages == 0 {
		return ""
	}
	return fmt.Sprintf(", working set of %d pages in %s of %s", r.WorkingSetPages, humanBytes(r.HotPackedBytes), r.HotCodec)
}

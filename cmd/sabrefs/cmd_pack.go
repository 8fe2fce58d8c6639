package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	child      childFlags
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
		Long:  packHelp,
		Example: `  sabrefs pack /snapshots/python /store/python
  sabrefs pack --level best mem_file mem_file.sabre
  sabrefs pack --memory 'ram-*.img' snapdir /store/snap
  sabrefs pack --working-set /traces/python /snapshots/python /store/python
  sabrefs pack --parent /store/python /snapshots/python-2 /store/python-2
  sabrefs pack --parent /store/python-2 --diff /snapshots/diff-3 /store/python-3
  sabrefs pack --parent base.sabre --bitmap dirty.bin mem_file mem_file.sabre`,
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
	flags.child.add(f)
	f.IntVar(&flags.workers, "workers", 0, "number of cores to use (default: all)")
	f.StringArrayVar(&flags.memory, "memory", nil, "pattern of names of memory files, beside the usual ones (repeatable)")
	f.BoolVar(&flags.force, "force", false, "replace DST if it exists")
	f.BoolVar(&flags.json, "json", false, "print the result as JSON")
	return cmd
}

// packHelp is what pack does.
const packHelp = `Pack a memory file into an image at DST, or a snapshot directory into the
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
also sabrefs repack, which does the same to images.

--parent makes a layer: an image that stores only the pages that its parent does not
have, and reads as if it stood alone. PATH is the parent: an image, or a packed
snapshot, in which the parent of SRC/PATH is PATH.sabre. Pages are compared by their
content, wherever they are in memory, so SRC is a complete memory file, of the same
guest or of one that is alike; it may be larger than the parent, not smaller. A layer
needs its parent for ever after: keep both (sabrefs ls --tree shows them, sabrefs rm
refuses to remove what others need), or make the layer independent (sabrefs flatten).

With --diff, SRC is a diff as VMMs write it (Firecracker: a snapshot of type Diff): a
file of the size of the whole memory, in which only the pages that were written since
the last snapshot are present. A hole stands for what the parent has; a page that is
present and zero is zero. The parent has to be the packed snapshot that the diff was
made after. With --bitmap, SRC is dense, and FILE says which pages of it count: one bit
for each page, the lowest bit of the first byte for page 0.

Careful: a diff is destroyed by what makes holes of zeros, or zeros of holes, such as
cp --sparse=always, fallocate --dig-holes, and rsync with and without --sparse: nothing
can tell afterwards. Pack it where the VMM wrote it, or copy it with tar --sparse.`

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
	if err := flags.child.check(info.IsDir()); err != nil {
		return err
	}
	if err := flags.child.apply(&opt); err != nil {
		return err
	}
	recorded, err := openTraces(flags.workingSet)
	if err != nil {
		return err
	}
	job := packJob{src: src, dst: dst, recorded: recorded, child: flags.child, json: flags.json}
	if info.IsDir() {
		return job.packDirectory(ctx, out, names, opt)
	}
	job.dst = intoDirectory(dst, filepath.Base(src)+store.ImageSuffix)
	return job.packFile(ctx, out, info.Size(), opt)
}

// intoDirectory returns dst, or the path of name in dst if dst is a directory.
func intoDirectory(dst, name string) string {
	if info, err := os.Stat(dst); err == nil && info.IsDir() {
		return filepath.Join(dst, name)
	}
	return dst
}

// packJob is a memory file or a snapshot, and what is to be made of it.
type packJob struct {
	src, dst string
	recorded *traces // nil for none
	child    childFlags
	json     bool
}

func (job packJob) packFile(ctx context.Context, out io.Writer, rawBytes int64, opt store.PackOptions) error {
	if job.recorded != nil {
		if err := job.recorded.lead(&opt, job.src, rawBytes); err != nil {
			return err
		}
	}
	if job.child.parent != "" {
		name := filepath.Base(job.src)
		parents, err := job.child.parentsOf([]string{name})
		if err != nil {
			return err
		}
		opt.Parent = parents[name]
	}
	report, finish := progressBar("packing", rawBytes)
	opt.Progress = report
	result, err := store.PackFile(ctx, job.src, job.dst, opt)
	finish()
	if err != nil {
		return err
	}
	row := newPackRow(job.dst, result)
	if job.json {
		return printJSON(out, row)
	}
	return row.print(out)
}

func (job packJob) packDirectory(ctx context.Context, out io.Writer, names store.MemoryNames, opt store.PackOptions) error {
	files, err := memoryFiles(job.src, names)
	if err != nil {
		return err
	}
	if job.recorded != nil {
		if opt.ForFile, err = job.recorded.forFiles(job.src, files); err != nil {
			return err
		}
	}
	if job.child.parent != "" {
		parents, err := job.child.parentsOf(slices.Sorted(maps.Keys(files)))
		if err != nil {
			return err
		}
		opt.ForFile = forFiles(parents, opt.ForFile)
	}
	var total int64
	for _, rawBytes := range files {
		total += rawBytes
	}
	report, finish := progressBar("packing", total)
	opt.Progress = report
	result, err := store.PackSnapshot(ctx, job.src, job.dst, names, opt)
	finish()
	if err != nil {
		return err
	}
	return printSnapshotResult(out, job.dst, result, job.json)
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
	_, err := fmt.Fprintf(out, "%s: %s -> %s (%.2f : 1), %d zero%s and %d duplicate pages of %d, %s%s, %.1f s\n",
		r.Path, humanBytes(r.RawBytes), humanBytes(r.PackedBytes), r.Ratio, r.ZeroPages, r.inherited(), r.DuplicatePages, r.PageCount,
		r.Codec, r.layout(), r.Duration.Round(100*time.Millisecond).Seconds())
	return err
}

// inherited tells of the pages that are in a parent, if there is one.
func (r packRow) inherited() string {
	if r.Depth == 0 {
		return ""
	}
	return fmt.Sprintf(", %d inherited (depth %d)", r.ParentPages, r.Depth)
}

// layout tells of the working set, if there is one.
func (r packRow) layout() string {
	if r.WorkingSetPages == 0 {
		return ""
	}
	return fmt.Sprintf(", working set of %d pages in %s of %s", r.WorkingSetPages, humanBytes(r.HotPackedBytes), r.HotCodec)
}

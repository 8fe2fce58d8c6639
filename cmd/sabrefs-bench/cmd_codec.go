package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sabrefs/iaa"
)

// codecFlags are the options of codec.
type codecFlags struct {
	input    string
	workDir  string
	pages    int
	sampleMB int
	distinct bool
	rounds   int
	parts    []string
	json     bool
}

// The parts of codec.
const (
	partDeflate = "deflate"
	partZstd    = "zstd"
	partLZ4     = "lz4"
	partRaw     = "raw"
	partFaults  = "faults"
	partJobs    = "jobs"
	partFiles   = "files"
)

var allParts = []string{partDeflate, partZstd, partLZ4, partRaw, partFaults, partJobs, partFiles}

func newCodecCommand() *cobra.Command {
	flags := codecFlags{parts: allParts}
	cmd := &cobra.Command{
		Use:   "codec --input MEMORY_FILE",
		Short: "Characterize compression engines on pages of guest memory",
		Long: `Compress a sample of the pages of a memory file that are not zero (with --distinct,
only the first of equal ones) in frames of 4 KiB to 256 KiB, with each codec and engine; then decode. All engines
take turns on the same 4 MiB of the sample, on one thread of one CPU, round after
round, so that whatever disturbs the machine disturbs all of them; medians over
the rounds are reported. Every frame is compared with the input once.

Speeds are of raw bytes, 10^6 bytes a second of CPU time, or of time where a device
or several threads work. p50_us and p99_us are the time to decode one frame alone.
"stream" names who compressed and "engine" who decodes;
"level" and compress_mb_per_s are of the stream. The engines of sabrefs compute
the CRC-32 of what they decode on the way, the others do not.

An Intel IAA is measured too if there is one that can be used (see sabrefs
doctor), or with SABREFS_IAA=model a model of it, whose speed says nothing.

libdeflate is C: a driver is compiled and run if there are a C compiler (cc) and
libdeflate's header; its rows are left out otherwise. It gets exact buffers.

Rows with a "mode":
  continuous, naive, shared   one stream over many pages; a stream for each page;
                              the same with 16 Huffman tables for all of them
  touched, untouched,         decoding into memory that was there before, that
  untouched-huge              the kernel gives at the first touch, and the same
                              with huge pages
  read, read-direct           reading "size_bytes" of raw memory from a file that
                              is not in the page cache, without and with O_DIRECT
  decode, decode-from-file    decoding as much from memory, and from a file that
                              is read with O_DIRECT; times are of the whole
  single                      one frame in each call of the engine; other rows of
                              engines of sabrefs are of 16, as the store decodes
                              what is more than one page fault
Rows with "jobs" are batches of that many frames, decoded on all cores, whose times
are those of a whole batch.

The parts, for --parts: deflate (with continuous, naive, shared), zstd, lz4, raw
(copying, which bounds them all), faults, jobs, files. Memory: about 40 times
the sample.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCodec(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.input, "input", "", "memory file (required)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for files to read, on the disk in question (default: a temporary one)")
	f.IntVar(&flags.pages, "pages", 0, "pages in the sample (default: as --sample-mb says)")
	f.IntVar(&flags.sampleMB, "sample-mb", 64, "MiB in the sample")
	f.BoolVar(&flags.distinct, "distinct", false, "leave out pages that are equal to earlier ones")
	f.IntVar(&flags.rounds, "rounds", 7, "rounds of measurements")
	f.StringSliceVar(&flags.parts, "parts", flags.parts, "what to measure")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("input")
	return cmd
}

// check fills in the number of pages.
func (f *codecFlags) check() error {
	for _, part := range f.parts {
		if !slices.Contains(allParts, part) {
			return fmt.Errorf("part %q: expected some of %s", part, strings.Join(allParts, ","))
		}
	}
	if f.rounds < 1 {
		return fmt.Errorf("%d rounds: expected at least one", f.rounds)
	}
	if f.pages == 0 {
		f.pages = f.sampleMB * (mib / pageBytes)
	}
	if f.pages < 1 {
		return fmt.Errorf("a sample of %d pages: expected at least one", f.pages)
	}
	return nil
}

// codecBench is one run of codec.
type codecBench struct {
	flags      codecFlags
	log        io.Writer
	dir        string // for files
	raw        []byte // the sample
	buffer     oneBuffer
	engines    []iaa.Engine
	libdeflate libdeflateDriver
	streams    []*stream
	contenders []*contender
}

func runCodec(ctx context.Context, out, log io.Writer, flags codecFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	raw, err := samplePages(flags.input, flags.pages, flags.distinct)
	if err != nil {
		return err
	}
	var rows []codecRow
	err = inWorkDir(flags.workDir, func(dir string) (err error) {
		b := &codecBench{flags: flags, log: log, dir: dir, raw: raw, buffer: newOneBuffer(), engines: openEngines(log)}
		defer func() { err = errors.Join(err, b.close()) }()
		rows, err = b.measure(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return printResult(out, rows, flags.json, printCodec)
}

// openEngines returns the engines of sabrefs that this machine has, software
// first. The environment may choose a model of the accelerator.
func openEngines(log io.Writer) []iaa.Engine {
	engine, err := iaa.Open(os.Getenv(iaa.EngineVariable), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		fmt.Fprintf(log, "note: without an accelerator: %v\n", err)
		return []iaa.Engine{iaa.Software()}
	}
	if !iaa.Accelerated(engine) {
		return []iaa.Engine{engine}
	}
	return []iaa.Engine{iaa.Software(), engine}
}

func (b *codecBench) has(part string) bool { return slices.Contains(b.flags.parts, part) }

// measure runs what needs one thread and one CPU, then the rest.
func (b *codecBench) measure(ctx context.Context) ([]codecRow, error) {
	if err := b.writeSample(); err != nil {
		return nil, err
	}
	rows, err := onOneCPU(b.log, func() ([]codecRow, error) { return b.measureInTurn(ctx) })
	if err != nil {
		return nil, err
	}
	if b.has(partJobs) {
		jobs, err := b.measureJobs(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, jobs...)
	}
	return rows, nil
}

func (b *codecBench) measureInTurn(ctx context.Context) ([]codecRow, error) {
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	if err := b.makeStreams(ctx); err != nil {
		return nil, err
	}
	if err := b.runRounds(ctx); err != nil {
		return nil, err
	}
	rows := b.rows()
	if b.has(partFiles) {
		files, err := b.measureFiles(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, files...)
	}
	return rows, nil
}

// enter lists who compresses and who decodes what.
func (b *codecBench) enter(ctx context.Context) error {
	if b.has(partDeflate) {
		if err := b.addDeflate(ctx); err != nil {
			return err
		}
	}
	if b.has(partZstd) {
		if err := b.addZstd(); err != nil {
			return err
		}
	}
	if b.has(partLZ4) {
		b.addLZ4()
	}
	if b.has(partRaw) {
		b.addCopy()
	}
	if b.has(partFaults) {
		b.addFaults(ctx)
	}
	return nil
}

func (b *codecBench) close() error {
	var errs []error
	for _, c := range b.contenders {
		errs = append(errs, c.decoder.close())
	}
	for _, s := range b.streams {
		errs = append(errs, s.compressor.close())
	}
	for _, engine := range b.engines {
		errs = append(errs, engine.Close())
	}
	return errors.Join(errs...)
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"runtime"
	"time"

	"github.com/google/uuid"

	"sabrefs/iaa"
)

// PackOptions say how memory files are packed. The zero value packs with the
// defaults.
type PackOptions struct {
	// Codec compresses frames that shrink; zero means the codec that this host
	// reads best (see AutoCodec).
	Codec Codec
	// Raw stores every frame as it is, whatever Codec says.
	Raw bool
	// Level is the effort; zero means LevelDefault.
	Level Level
	// FramePages is the number of pages of a frame, a power of two from 1 to
	// MaxFramePages; zero means what suits the codec and level.
	FramePages int
	// Workers is the number of goroutines that compress; zero means one a core.
	Workers int
	// Overwrite allows replacing an existing image.
	Overwrite bool
	// SharedTables is how many Huffman tables DEFLATE frames may share, at most
	// MaxSharedTables; 0 means what suits the frame size, NoSharedTables none.
	SharedTables int
	// Engine compresses DEFLATE frames; nil means iaa.Default().
	Engine iaa.Engine
	// Progress, if not nil, is called from one goroutine with the raw bytes
	// that are done.
	Progress func(doneRawBytes int64)
	// UUID and CreatedAt become those of the image if they are set, so that an
	// image can be reproduced byte for byte.
	UUID      uuid.UUID
	CreatedAt time.Time
}

// MaxWorkers bounds PackOptions.Workers, as each takes a few megabytes.
const MaxWorkers = 1024

// AutoCodec is the codec for pages that no working set covers: DEFLATE where an
// accelerator decodes it, else zstd, which is the densest.
func AutoCodec(engine iaa.Engine) Codec {
	if engine == nil {
		engine = iaa.Default()
	}
	if iaa.Accelerated(engine) {
		return CodecDeflate
	}
	return CodecZstd
}

// DefaultFramePages is the frame size that suits a codec and a level: a fault
// decodes a whole frame, so frames are as small as density allows. DEFLATE
// gains nothing beyond 16 KiB, because its window has 4 KiB. The densest level
// is for archives: it trades latency for size. docs/BENCHMARKS.md has both by
// frame size.
func DefaultFramePages(codec Codec, level Level) int {
	switch {
	case codec == CodecDeflate:
		return 4
	case codec == CodecZstd && level == LevelBest:
		return 32
	default:
		return 8
	}
}

// normalise fills in defaults and refuses what makes no sense.
func (o *PackOptions) normalise() error {
	if o.Raw {
		o.Codec = CodecRaw
	} else if o.Codec == CodecRaw {
		o.Codec = AutoCodec(o.Engine)
	}
	if o.Level == 0 {
		o.Level = LevelDefault
	}
	if o.Level < LevelFast || o.Level > LevelBest {
		return fmt.Errorf("%w: %v", ErrOption, o.Level)
	}
	if o.FramePages == 0 {
		o.FramePages = DefaultFramePages(o.Codec, o.Level)
	}
	if o.FramePages < 1 || o.FramePages > MaxFramePages || o.FramePages&(o.FramePages-1) != 0 {
		return fmt.Errorf("%w: frames of %d pages, expected a power of two from 1 to %d", ErrOption, o.FramePages, MaxFramePages)
	}
	if o.Workers < 0 || o.Workers > MaxWorkers {
		return fmt.Errorf("%w: %d workers, expected 1 to %d, or 0 for one a core", ErrOption, o.Workers, MaxWorkers)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if err := o.normaliseTables(); err != nil {
		return err
	}
	if o.Engine == nil && o.Codec == CodecDeflate {
		o.Engine = iaa.Default()
	}
	return nil
}

func (o *PackOptions) normaliseTables() error {
	switch {
	case o.SharedTables < NoSharedTables || o.SharedTables > MaxSharedTables:
		return fmt.Errorf("%w: %d shared tables, expected at most %d", ErrOption, o.SharedTables, MaxSharedTables)
	case o.Codec != CodecDeflate && o.SharedTables > 0:
		return fmt.Errorf("%w: only DEFLATE frames share tables, not those of %v", ErrOption, o.Codec)
	case o.SharedTables == 0 && o.FramePages <= sharedTablesFrames:
		o.SharedTables = defaultSharedTables
	}
	return nil
}

func (o *PackOptions) slotBits() uint8 { return uint8(bits.TrailingZeros(uint(o.FramePages))) }

// PackResult says what packing did. Sizes are in bytes.
type PackResult struct {
	RawBytes       int64 `json:"raw_bytes"`
	PackedBytes    int64 `json:"packed_bytes"`
	PageCount      int64 `json:"pages"`
	ZeroPages      int64 `json:"zero_pages"`
	DuplicatePages int64 `json:"duplicate_pages"`
	StoredPages    int64 `json:"stored_pages"`
	Frames         int64 `json:"frames"`
	RawFrames      int64 `json:"raw_frames"` // that did not shrink
	// SharedTableFrames are DEFLATE frames without Huffman codes of their own.
	SharedTableFrames int64         `json:"shared_table_frames"`
	Codec             string        `json:"codec"`
	Level             string        `json:"level"`
	FrameBytes        int           `json:"frame_bytes"`
	UUID              uuid.UUID     `json:"uuid"`
	Digest            string        `json:"digest"`
	Duration          time.Duration `json:"-"`
}

// PackFile packs the memory file src into an image at dst. Until it returns
// without an error, whatever stood at dst stands there still; a killed process
// leaves nothing. Its memory does not depend on the size of the input.
//
// It fails with ErrExists if dst exists and opt.Overwrite is not set, with
// ErrChanged if src was written to meanwhile, with ErrLimit if it is too large.
func PackFile(ctx context.Context, src, dst string, opt PackOptions) (PackResult, error) {
	begin := time.Now()
	if err := opt.normalise(); err != nil {
		return PackResult{}, err
	}
	source, err := openRawFile(src)
	if err != nil {
		return PackResult{}, err
	}
	defer source.Close()
	if err := checkNotSame(source.opened, dst); err != nil {
		return PackResult{}, err
	}
	result, err := packSource(ctx, source, dst, source.opened.Mode(), opt)
	result.Duration = time.Since(begin)
	return result, err
}

// checkNotSame refuses a target that is the source, by whatever name.
func checkNotSame(source fs.FileInfo, target string) error {
	info, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && os.SameFile(source, info) {
		return fmt.Errorf("%s: %w: source and target are the same file", target, ErrOption)
	}
	return err
}

func packSource(ctx context.Context, src memorySource, dst string, mode fs.FileMode, opt PackOptions) (PackResult, error) {
	w, err := newImageWriter(dst, opt.Overwrite, mode, src.rawBytes(), opt.slotBits())
	if err != nil {
		return PackResult{}, err
	}
	w.header.UUID, w.header.CreatedAt = opt.UUID, opt.CreatedAt
	p := newPipeline(src, w, opt)
	if err := p.train(ctx); err != nil {
		return PackResult{}, errors.Join(inFile(src.name(), err), w.abort())
	}
	if err := p.run(ctx); err != nil {
		return PackResult{}, errors.Join(inFile(src.name(), err), w.abort())
	}
	if err := src.unchanged(); err != nil {
		return PackResult{}, errors.Join(err, w.abort())
	}
	p.keepTables()
	w.header.DuplicatePages = p.duplicatePages
	w.header.ZeroPages = w.header.PageCount() - p.duplicatePages - p.storedPages
	header, err := w.finish(p.digester.sum())
	if err != nil {
		return PackResult{}, inFile(dst, err)
	}
	return p.result(header), nil
}

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
	// Raw stores every frame as it is, whatever Codec says; but for those of the
	// working set if HotCodec is set.
	Raw bool
	// Level is the effort; zero means LevelDefault.
	Level Level
	// FramePages is the number of pages of a frame, a power of two from 1 to
	// MaxFramePages; zero means what suits the codec and level.
	FramePages int
	// WorkingSet are the pages that a guest touches after it resumed, in the
	// order of the first touch; of a page that occurs twice the first one counts.
	// Their frames come first in the image. RepackFile keeps what an image has if
	// it is nil; if it is empty but not nil, the new image has none.
	WorkingSet []PageRun
	// HotCodec compresses the frames of the working set; zero means the one that
	// this host reads fastest (see AutoHotCodec), or raw if Raw is set.
	HotCodec Codec
	// HotRaw stores the frames of the working set as they are.
	HotRaw bool
	// HotFramePages is the number of pages of a frame of the working set; zero
	// means what suits the codec.
	HotFramePages int
	// Parent is the path of the image whose pages are not stored again; empty for
	// none. Parents finds its own parents; nil means: where they say.
	Parent  string
	Parents *Parents
	// Diff says that the memory file has only the pages that changed: a hole stands
	// for the pages of Parent. DiffBitmap, if not empty, is the path of a file that
	// says which pages are there, one bit each, the lowest bit of the first byte for
	// page 0; then holes are pages of zeros.
	Diff       bool
	DiffBitmap string
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
	// Accept, if not nil, is called when all is written and before the image
	// appears. If it returns an error, that is what packing fails with, and
	// nothing is left. UUID and time are not known yet.
	Accept func(*Header) error
	// ForFile, if not nil, returns the options for one memory file of a snapshot,
	// given by its path in the snapshot; base are those of the snapshot.
	ForFile func(path string, base PackOptions) (PackOptions, error)
	// UUID and CreatedAt become those of the image if they are set, so that an
	// image can be reproduced byte for byte.
	UUID      uuid.UUID
	CreatedAt time.Time

	// placedAt is the path that the image will have, if it is not the one where it
	// is written, and replacedDir the directory that goes away then, if it is there.
	placedAt, replacedDir string
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
	if err := checkFramePages(o.FramePages); err != nil {
		return err
	}
	if o.Parent == "" && (o.Diff || o.DiffBitmap != "") {
		return fmt.Errorf("%w: a diff without a parent", ErrOption)
	}
	if err := o.normaliseHot(); err != nil {
		return err
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
	if o.Engine == nil && o.deflates() {
		o.Engine = iaa.Default()
	}
	return nil
}

func checkFramePages(pages int) error {
	if pages < 1 || pages > MaxFramePages || pages&(pages-1) != 0 {
		return fmt.Errorf("%w: frames of %d pages, expected a power of two from 1 to %d", ErrOption, pages, MaxFramePages)
	}
	return nil
}

// normaliseHot fills in what is about the working set. The engine is looked for
// only if there is one.
func (o *PackOptions) normaliseHot() error {
	switch {
	case o.HotRaw, o.Raw && o.HotCodec == CodecRaw:
		o.HotRaw, o.HotCodec = true, CodecRaw
	case o.HotCodec > maxCodec:
		return fmt.Errorf("%w: codec %v", ErrOption, o.HotCodec)
	case o.HotCodec == CodecRaw && len(o.WorkingSet) > 0:
		o.HotCodec = AutoHotCodec(o.Engine)
	}
	if o.HotFramePages == 0 {
		o.HotFramePages = DefaultHotFramePages(o.HotCodec)
	}
	return checkFramePages(o.HotFramePages)
}

// deflates says whether some frames are DEFLATE.
func (o *PackOptions) deflates() bool {
	return o.Codec == CodecDeflate || o.HotCodec == CodecDeflate && len(o.WorkingSet) > 0
}

// deflatePages is the size of the frames that shared tables are for.
func (o *PackOptions) deflatePages() int {
	if o.Codec == CodecDeflate {
		return o.FramePages
	}
	return o.HotFramePages
}

func (o *PackOptions) normaliseTables() error {
	switch {
	case o.SharedTables < NoSharedTables || o.SharedTables > MaxSharedTables:
		return fmt.Errorf("%w: %d shared tables, expected at most %d", ErrOption, o.SharedTables, MaxSharedTables)
	case !o.deflates() && o.SharedTables > 0:
		return fmt.Errorf("%w: only DEFLATE frames share tables, not those of %v", ErrOption, o.Codec)
	case o.SharedTables == 0 && o.deflatePages() <= sharedTablesFrames:
		o.SharedTables = defaultSharedTables
	}
	return nil
}

// maxFramePages is the size of the largest frames of the image.
func (o *PackOptions) maxFramePages() int {
	if len(o.WorkingSet) > 0 {
		return max(o.FramePages, o.HotFramePages)
	}
	return o.FramePages
}

// hotLevel is the level for the working set. With LZ4 it is the densest one,
// unless speed was asked for: it is compressed once, and read at every start.
func (o *PackOptions) hotLevel() Level {
	if o.HotCodec == CodecLZ4 && o.Level > LevelFast {
		return LevelBest
	}
	return o.Level
}

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
	SharedTableFrames int64  `json:"shared_table_frames"`
	Codec             string `json:"codec"`
	Level             string `json:"level"`
	FrameBytes        int    `json:"frame_bytes"`
	// The first frames hold the working set, and pages that lie between.
	WorkingSetPages int64  `json:"working_set_pages"`
	HotFrames       int64  `json:"hot_frames"`
	HotPages        int64  `json:"hot_pages"` // stored in them
	HotPackedBytes  int64  `json:"hot_packed_bytes"`
	HotCodec        string `json:"hot_codec"` // empty without hot frames
	HotFrameBytes   int    `json:"hot_frame_bytes"`
	// ParentPages are not stored: ancestors have them. ParentUUID is empty, and Depth
	// 0, without a parent.
	ParentPages int64  `json:"parent_pages"`
	ParentUUID  string `json:"parent_uuid,omitempty"`
	Depth       int    `json:"depth"`
	// CopiedFrames are those that RepackFile took over as they were.
	CopiedFrames int64 `json:"copied_frames"`

	UUID     uuid.UUID     `json:"uuid"`
	Digest   string        `json:"digest"`
	Duration time.Duration `json:"-"`
}

// PackFile packs the memory file src into an image at dst. Until it returns
// without an error, whatever stood at dst stands there still; a killed process
// leaves nothing. Its memory does not depend on the size of the input, but for a
// bit for each page if there is a working set and for 8 bytes for each page that
// moved against a parent.
//
// It fails with ErrExists if dst exists and opt.Overwrite is not set, with
// ErrChanged if src was written to meanwhile, with ErrLimit if it is too large, with
// ErrParent if opt.Parent cannot be the parent.
func PackFile(ctx context.Context, src, dst string, opt PackOptions) (PackResult, error) {
	if opt.Parent != "" {
		return packChild(ctx, src, dst, opt)
	}
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
	result, err := packSource(ctx, source, packTarget{path: dst, like: source.opened}, opt)
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

// packTarget is the image that packing makes.
type packTarget struct {
	path string
	like fs.FileInfo // the file whose mode it gets
	// replaced is the image that it replaces, if it does, and old the same if
	// frames of it are taken over.
	replaced *Image
	old      *oldImage
	// parent is nil without one; parentPath is its path relative to the directory of
	// the image, and inherit knows what it has.
	parent     *Image
	parentPath string
	ancestors  []string // the same of the parent's ancestors, the root first
	inherit    inheritance
}

func packSource(ctx context.Context, src memorySource, target packTarget, opt PackOptions) (PackResult, error) {
	hot, err := newHotLayout(opt.WorkingSet, pagesOf(src.rawBytes()))
	if err != nil {
		return PackResult{}, inFile(src.name(), err)
	}
	p, err := newPipelineTo(src, target, opt, hot)
	if err != nil {
		return PackResult{}, err
	}
	if err := p.fill(ctx); err != nil {
		return PackResult{}, errors.Join(inFile(src.name(), err), p.w.abort())
	}
	header, err := p.w.finish(p.digester)
	if err != nil {
		return PackResult{}, inFile(target.path, err)
	}
	return p.result(header), nil
}

// newPipelineTo begins the image and the pipeline that fills it.
func newPipelineTo(src memorySource, target packTarget, opt PackOptions, hot *hotLayout) (*pipeline, error) {
	slotBits := uint8(bits.TrailingZeros(uint(opt.maxFramePages())))
	if target.old != nil {
		slotBits = max(slotBits, target.replaced.header.SlotBits)
	}
	if target.parent != nil {
		slotBits = max(slotBits, target.parent.slotBitsOfChain())
	}
	w, err := newImageWriter(target.path, opt.Overwrite, target.like.Mode(), src.rawBytes(), slotBits)
	if err != nil {
		return nil, err
	}
	w.header.UUID, w.header.CreatedAt = opt.UUID, opt.CreatedAt
	if target.parent != nil {
		w.haveParent(target.parent, target.parentPath, target.ancestors)
	}
	if target.replaced != nil {
		w.header.Compat = target.replaced.header.Compat
		if err := keepOwner(w.file.File, target.like); err != nil {
			return nil, errors.Join(err, w.abort())
		}
	}
	return newPipeline(src, w, opt, hot, target), nil
}

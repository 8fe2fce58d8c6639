package store

import (
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RepackFile writes the image at path anew, with another layout and the same
// content: opt.WorkingSet comes first, or the working set that the image has. The
// new image, which has a UUID of its own, takes the place of the old one when its
// digest was found to be that of the old one. Until then, and if it fails or the
// process is killed, the old one stands. Whoever has the old one open keeps it.
//
// If opt names no codec (or Raw), frame size or number of shared tables, the
// image keeps its own: frames without a page of the working set are taken over as
// they are, and opt.Level is for the others only. Without a level, these become as
// dense as they seem to have been. Else all is compressed again.
//
// Besides what packing takes, it needs 4 bytes of memory for each frame, and room
// for decoded frames of the old image.
func RepackFile(ctx context.Context, path string, opt PackOptions) (PackResult, error) {
	begin := time.Now()
	path, err := filepath.EvalSymlinks(path) // what is replaced is the image, not a link to it
	if err != nil {
		return PackResult{}, err
	}
	img, err := Open(path, OpenOptions{Engine: opt.Engine})
	if err != nil {
		return PackResult{}, err
	}
	defer img.Close()
	result, err := img.repack(ctx, path, opt)
	result.Duration = time.Since(begin)
	return result, err
}

func (img *Image) repack(ctx context.Context, path string, opt PackOptions) (PackResult, error) {
	if img.header.ROCompat != 0 {
		return PackResult{}, inFile(path, findingAt(ErrFeature, hdrROCompat, "flags %#x forbid to write the image anew", img.header.ROCompat))
	}
	takesOver, err := img.keepOptions(&opt)
	if err != nil {
		return PackResult{}, err
	}
	if err := opt.normalise(); err != nil {
		return PackResult{}, err
	}
	info, err := img.file.Stat()
	if err != nil {
		return PackResult{}, err
	}
	src, err := newImageSource(ctx, img)
	if err != nil {
		return PackResult{}, err
	}
	defer src.Close()
	opt.Overwrite, opt.Accept = true, img.acceptSame(opt.Accept)
	target := packTarget{path: path, like: info, replaced: img}
	if takesOver {
		target.old = newOldImage(img)
	}
	return packSource(ctx, &replacedSource{src, info}, target, opt)
}

// keepOptions sets what opt leaves open to what the image has, and reports
// whether frames may be taken over.
func (img *Image) keepOptions(opt *PackOptions) (takesOver bool, err error) {
	if opt.WorkingSet == nil {
		if opt.WorkingSet, err = img.WorkingSet(); err != nil {
			return false, err
		}
	}
	if opt.Codec != CodecRaw || opt.Raw {
		return false, nil
	}
	takesOver = opt.FramePages == 0 && opt.SharedTables == 0
	codec, pages, err := img.coldStyle()
	if err != nil {
		return false, err
	}
	opt.Codec, opt.Raw = codec, codec == CodecRaw
	if opt.FramePages == 0 {
		opt.FramePages = pages
	}
	if takesOver && opt.Level == 0 && codec == CodecZstd && pages >= DefaultFramePages(codec, LevelBest) {
		opt.Level = LevelBest // no other level makes such large frames by itself
	}
	return takesOver, nil
}

// coldStyle returns the codec and the size of the frames behind those of the
// working set: what most of a sample have, or the default if there are none. Raw
// frames count only if there are no others, for any codec has some.
func (img *Image) coldStyle() (codec Codec, pages int, err error) {
	const sampled = 1024
	h := img.header
	var frames [maxCodec + 1]int
	for frame := h.HotFrames; frame < h.FrameCount; frame += max(1, (h.FrameCount-h.HotFrames)/sampled) {
		entry, err := img.Frame(uint32(frame))
		if err != nil {
			return 0, 0, err
		}
		frames[entry.Codec]++
		pages = max(pages, entry.Pages)
	}
	if pages == 0 {
		codec = AutoCodec(img.decoder.engine)
		return codec, DefaultFramePages(codec, LevelDefault), nil
	}
	for c := range frames {
		if Codec(c) != CodecRaw && frames[c] > 0 && (codec == CodecRaw || frames[c] > frames[codec]) {
			codec = Codec(c)
		}
	}
	if h.HotFrames == 0 {
		pages = h.MaxPagesPerFrame() // the only frame of a small image may be a short one
	}
	return codec, 1 << bits.Len(uint(pages-1)), nil
}

// acceptSame accepts an image of the same content, if the caller accepts it too.
func (img *Image) acceptSame(accept func(*Header) error) func(*Header) error {
	return func(h *Header) error {
		if h.Digest != img.header.Digest {
			return inFile(img.path, corruptAt(hdrDigest, "content digest is %v, computed %v", img.header.Digest, h.Digest))
		}
		if accept == nil {
			return nil
		}
		return accept(h)
	}
}

// replacedSource reads an image that is to be replaced.
type replacedSource struct {
	*imageSource
	opened fs.FileInfo
}

// unchanged refuses to replace what somebody else has put there meanwhile.
func (s *replacedSource) unchanged() error {
	now, err := os.Stat(s.name())
	if err != nil {
		return err
	}
	if !os.SameFile(s.opened, now) {
		return &FileError{Path: s.name(), PackedOff: wholeFile, Err: ErrChanged, Detail: "another image took its place"}
	}
	return nil
}

// keepOwner gives a new file the owner of the old one. Only root can, and
// whoever may not need not.
func keepOwner(f *os.File, like fs.FileInfo) error {
	st, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := f.Chown(int(st.Uid), int(st.Gid))
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return nil
	}
	return err
}

package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
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
//
// A child stays one: what its ancestors have is not stored.
func RepackFile(ctx context.Context, path string, opt PackOptions) (PackResult, error) {
	return repackFile(ctx, path, opt, OpenOptions{}, (*Image).keepParent)
}

// FlattenFile is RepackFile for a child that is to have all of its pages itself. All
// of them are compressed again. Its own children stay what they are.
func FlattenFile(ctx context.Context, path string, opt PackOptions) (PackResult, error) {
	return repackFile(ctx, path, opt, OpenOptions{}, func(img *Image, _ *packTarget) error { return img.checkIsChild() })
}

func (img *Image) checkIsChild() error {
	if img.parent == nil {
		return &FileError{Path: img.path, PackedOff: wholeFile, Err: ErrOption, Detail: "it has no parent"}
	}
	return nil
}

// RebaseFile is RepackFile for a child that is to have another parent, of the same
// content as the one it has, which need not be there any more. An empty path stands
// for the parent that is found now; then the child becomes as fast to read as it was
// if an ancestor of it had been replaced, and remembers where the parent is.
func RebaseFile(ctx context.Context, path, newParent string, opt PackOptions) (PackResult, error) {
	return repackFile(ctx, path, opt, OpenOptions{parentFile: newParent}, func(img *Image, target *packTarget) error {
		if err := img.checkIsChild(); err != nil {
			return err
		}
		return img.keepParent(target)
	})
}

// repackFile writes an image anew; place says what becomes of its parent.
func repackFile(ctx context.Context, path string, opt PackOptions, open OpenOptions, place func(*Image, *packTarget) error) (PackResult, error) {
	begin := time.Now()
	path, err := filepath.EvalSymlinks(path) // what is replaced is the image, not a link to it
	if err != nil {
		return PackResult{}, err
	}
	open.Engine, open.Parents = opt.Engine, opt.Parents
	img, err := Open(path, open)
	if err != nil {
		return PackResult{}, err
	}
	result, err := img.repack(ctx, path, opt, place)
	result.Duration = time.Since(begin)
	return result, errors.Join(err, img.Close())
}

// keepParent makes what replaces the image a child, too, if it is one.
func (img *Image) keepParent(target *packTarget) error {
	if img.parent == nil {
		return nil
	}
	target.inherit = newKeptPages(img)
	if err := img.parent.lockParent(); err != nil {
		return err
	}
	return img.parent.becomeParent(target, "", img.header.RawBytes)
}

func (img *Image) repack(ctx context.Context, path string, opt PackOptions, place func(*Image, *packTarget) error) (PackResult, error) {
	if img.header.ROCompat != 0 {
		return PackResult{}, inFile(path, findingAt(ErrFeature, hdrROCompat, "flags %#x forbid to write the image anew", img.header.ROCompat))
	}
	info, err := img.file.Stat()
	if err != nil {
		return PackResult{}, err
	}
	target := packTarget{path: path, like: info, replaced: img}
	if err := place(img, &target); err != nil {
		return PackResult{}, err
	}
	takesOver, err := img.keepOptions(&opt, target.parent)
	if err != nil {
		return PackResult{}, err
	}
	if err := opt.normalise(); err != nil {
		return PackResult{}, err
	}
	src, err := newImageSource(ctx, img)
	if err != nil {
		return PackResult{}, err
	}
	defer src.Close()
	opt.Overwrite, opt.Accept = true, img.acceptSame(opt.Accept)
	if takesOver && target.parent == img.parent {
		target.old = newOldImage(img)
	}
	return packSource(ctx, &replacedSource{src, info}, target, opt)
}

// keepOptions sets what opt leaves open to what the image has, and reports
// whether frames may be taken over.
func (img *Image) keepOptions(opt *PackOptions, parent *Image) (takesOver bool, err error) {
	if err := img.keepWorkingSet(opt, parent); err != nil {
		return false, err
	}
	if opt.Codec != CodecRaw || opt.Raw {
		return false, nil
	}
	takesOver = opt.FramePages == 0 && opt.SharedTables == 0
	codec, pages, err := img.mainLayer(parent).coldStyle()
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

// keepWorkingSet gives the new image the old one's working set if there is no other,
// and a child that of its parent in addition.
func (img *Image) keepWorkingSet(opt *PackOptions, parent *Image) (err error) {
	if opt.WorkingSet == nil {
		opt.WorkingSet, err = img.WorkingSet()
		return err
	}
	if parent == nil {
		return nil
	}
	return parent.inheritWorkingSet(opt)
}

// mainLayer is whose style a new image takes: the image's, or, if it is to have no
// parent any more, that of the ancestor with the most frames.
func (img *Image) mainLayer(parent *Image) *Image {
	if parent != nil {
		return img
	}
	return slices.MaxFunc(img.chain, func(a, b *Image) int { return cmp.Compare(a.header.FrameCount, b.header.FrameCount) })
}

// coldStyle returns the codec and the size of the frames behind those of the
// working set: what most of a sample have, or the default if there are none. Raw
// frames count only if there are no others, for any codec has some.
func (img *Image) coldStyle() (codec Codec, pages int, err error) {
	const sampled = 1024
	h := img.header
	var frames [maxCodec + 1]int
	for frame := h.HotFrames; frame < h.FrameCount; frame += max(1, (h.FrameCount-h.HotFrames)/sampled) {
		entry, err := img.Frame(uint32(img.firstFrame + frame))
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
	if h.HotFrames == 0 && !h.HasParent() {
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

package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sort"

	"github.com/google/uuid"
)

// MaxDepth is the number of ancestors that an image may have. Each that is open
// takes a descriptor and two mappings.
const MaxDepth = 256

// ParentRef is what an image says of its parent.
type ParentRef struct {
	Identity
	// Path is where it was, relative to the directory of the image; empty if the
	// image does not say.
	Path string
}

// LayerInfo describes one image of a chain.
type LayerInfo struct {
	Path   string
	Header Header
	// Depth is 0 for the root.
	Depth int
	// FirstFrame is the number of its first frame in the numbering of the chain.
	FirstFrame int64
}

// layerEntryBytes is the size of an entry of the layers section: UUID, number of
// frames, 8 reserved bytes.
const layerEntryBytes = 32

// layerEntry is what an image remembers of an ancestor.
type layerEntry struct {
	uuid   uuid.UUID
	frames int64
}

func encodeLayers(chain []*Image) []byte {
	b := make([]byte, len(chain)*layerEntryBytes)
	for i, layer := range chain {
		e := b[i*layerEntryBytes:]
		copy(e, layer.header.UUID[:])
		binary.LittleEndian.PutUint64(e[16:], uint64(layer.header.FrameCount))
	}
	return b
}

// decodeLayers reads the section and proves that it is what the header says.
func decodeLayers(b []byte, h *Header) ([]layerEntry, error) {
	if len(b) != h.Depth*layerEntryBytes {
		return nil, corruptAt(wholeFile, "layers section of %d bytes for %d ancestors", len(b), h.Depth)
	}
	layers := make([]layerEntry, h.Depth)
	var total int64
	for i := range layers {
		e := b[i*layerEntryBytes:]
		layers[i].frames = int64(binary.LittleEndian.Uint64(e[16:]))
		copy(layers[i].uuid[:], e)
		if f := layers[i].frames; f < 0 || f > h.InheritedFrames-total {
			return nil, corruptAt(wholeFile, "layers section: more frames than the %d that are inherited", h.InheritedFrames)
		}
		total += layers[i].frames
	}
	if total != h.InheritedFrames {
		return nil, corruptAt(wholeFile, "layers section: %d frames, the header says %d", total, h.InheritedFrames)
	}
	return layers, nil
}

func (img *Image) readLayers() ([]layerEntry, error) {
	b, err := img.readOptional(SectionLayers, MaxDepth*layerEntryBytes)
	if err != nil {
		return nil, err
	}
	return decodeLayers(b, img.header)
}

// ParentRef returns what the image says of its parent; zero if it has none.
func (img *Image) ParentRef() (ParentRef, error) {
	if !img.header.HasParent() {
		return ParentRef{}, nil
	}
	b, err := img.readOptional(SectionParentPath, MaxPathBytes)
	return ParentRef{Identity: img.header.Parent, Path: string(b)}, inFile(img.path, err)
}

// ReadParentRef reads the header of an image and what it says of its parent, and
// opens no parent.
func ReadParentRef(path string) (Header, ParentRef, error) {
	file, err := openRegular(path, ErrNotImage)
	if err != nil {
		return Header{}, ParentRef{}, err
	}
	defer file.Close()
	f, err := readImageFile(file, path, openTailBytes)
	if err != nil {
		return Header{}, ParentRef{}, err
	}
	ref, err := newImage(f).ParentRef()
	return *f.header, ref, err
}

// Parent returns the open parent, nil if the image has none or was opened alone.
func (img *Image) Parent() *Image { return img.parent }

// Layers lists the images of the chain, the root first, the image itself last.
func (img *Image) Layers() []LayerInfo {
	infos := make([]LayerInfo, len(img.chain))
	for depth, layer := range img.chain {
		infos[depth] = LayerInfo{Path: layer.path, Header: *layer.header, Depth: depth, FirstFrame: layer.firstFrame}
	}
	return infos
}

// IsStale reports whether an ancestor is another image, of the same content, than
// when the image was packed, so that looking pages up takes longer.
func (img *Image) IsStale() bool { return img.stale }

// FirstFrame is the number of the image's own first frame: frames of ancestors come
// before it.
func (img *Image) FirstFrame() int64 { return img.firstFrame }

// depth is the number of ancestors that are open.
func (img *Image) depth() int { return len(img.chain) - 1 }

// endFrame is the number behind the image's last frame.
func (img *Image) endFrame() int64 { return img.firstFrame + img.header.FrameCount }

// join makes the image, of which header and tables are loaded, a child of parent.
// The caller's use of the parent becomes the image's.
func (img *Image) join(parent *Image, recorded []layerEntry) error {
	img.parent = parent
	if err := img.checkParent(parent); err != nil {
		return err
	}
	img.chain = append(slices.Clone(parent.chain), img)
	img.firstFrame = parent.endFrame()
	if img.endFrame() > 1<<entryValueBits {
		return findingAt(ErrLimit, wholeFile, "%d frames in the image and its ancestors, at most %d; flatten it", img.endFrame(), 1<<entryValueBits)
	}
	img.stale = !slices.EqualFunc(recorded, parent.chain, func(e layerEntry, layer *Image) bool {
		return e.uuid == layer.header.UUID && e.frames == layer.header.FrameCount
	})
	return nil
}

// checkParent refuses an image that cannot be the parent.
func (img *Image) checkParent(parent *Image) error {
	switch {
	case parent.header.Digest != img.header.Parent.Digest:
		return findingAt(ErrParent, wholeFile, "%s has other content: its digest is %v, that of the parent was %v",
			parent.path, parent.header.Digest, img.header.Parent.Digest)
	case parent.header.RawBytes > img.header.RawBytes:
		return findingAt(ErrParent, wholeFile, "%s has %d bytes of memory, the image only %d", parent.path, parent.header.RawBytes, img.header.RawBytes)
	case parent.depth() >= MaxDepth:
		return findingAt(ErrLimit, wholeFile, "more than %d ancestors; flatten one of them", MaxDepth)
	}
	return nil
}

// slotBitsOfChain is what a page map entry needs to name any slot of the image and its
// ancestors. An ancestor that was laid out anew may have larger frames than the image
// knows of.
func (img *Image) slotBitsOfChain() uint8 {
	bits := uint8(0)
	for _, layer := range img.chain {
		bits = max(bits, layer.header.SlotBits)
	}
	return bits
}

// layerOf returns the image of the chain that has a frame, and the number of the
// frame in its table. A number that no open image has is one of the image itself,
// which frameEntry refuses.
func (img *Image) layerOf(frame uint32) (layer *Image, local int64) {
	number := int64(frame)
	if number >= img.firstFrame || img.parent == nil {
		return img, number - img.firstFrame
	}
	depth := sort.Search(len(img.chain), func(i int) bool { return img.chain[i].firstFrame > number }) - 1
	layer = img.chain[depth]
	return layer, number - layer.firstFrame
}

// hasFile reports whether a file is one of the chain's.
func (img *Image) hasFile(info os.FileInfo) (bool, error) {
	for _, layer := range img.chain {
		own, err := layer.file.Stat()
		if err != nil {
			return false, err
		}
		if os.SameFile(own, info) {
			return true, nil
		}
	}
	return false, nil
}

// movedPage is a page that equals another page of the parent, not the one of its
// own number.
type movedPage struct{ page, parentPage uint32 }

const movedPageBytes = 8

func encodeMoved(moved []movedPage) []byte {
	b := make([]byte, 0, len(moved)*movedPageBytes)
	for _, m := range moved {
		b = binary.LittleEndian.AppendUint32(b, m.page)
		b = binary.LittleEndian.AppendUint32(b, m.parentPage)
	}
	return b
}

// loadMoved reads the moved pages, in the order of their numbers.
func (img *Image) loadMoved() ([]movedPage, error) {
	b, err := img.readOptional(SectionMovedPages, img.header.PageCount()*movedPageBytes)
	if err != nil {
		return nil, inFile(img.path, err)
	}
	if len(b)%movedPageBytes != 0 {
		return nil, inFile(img.path, corruptAt(wholeFile, "moved pages of %d bytes", len(b)))
	}
	moved := make([]movedPage, len(b)/movedPageBytes)
	for i := range moved {
		m := movedPage{binary.LittleEndian.Uint32(b[i*movedPageBytes:]), binary.LittleEndian.Uint32(b[i*movedPageBytes+4:])}
		if int64(m.page) >= img.header.PageCount() || i > 0 && m.page <= moved[i-1].page {
			return nil, inFile(img.path, corruptAt(wholeFile, "moved pages: page %d out of order or of %d", m.page, img.header.PageCount()))
		}
		moved[i] = m
	}
	return moved, nil
}

// parentPage returns which page of the parent an inherited page is.
func (img *Image) parentPage(page int64) (int64, error) {
	moved, err := img.moved()
	if err != nil {
		return 0, err
	}
	at, found := slices.BinarySearchFunc(moved, page, func(m movedPage, page int64) int { return int(int64(m.page) - page) })
	if found {
		page = int64(moved[at].parentPage)
	}
	if page >= img.parent.header.PageCount() {
		return 0, corruptAt(wholeFile, "page %d of a parent of %d pages", page, img.parent.header.PageCount())
	}
	return page, nil
}

// errAlone is what looking up an inherited page of an image that was opened alone
// comes to.
func (img *Image) errAlone() error {
	return findingAt(ErrParent, wholeFile, "the page is in parent %v, which is not open", img.header.Parent.UUID)
}

// describe names the parent in messages.
func (r ParentRef) describe() string {
	if r.Path == "" {
		return fmt.Sprintf("image %v", r.UUID)
	}
	return fmt.Sprintf("image %v, last at %q,", r.UUID, r.Path)
}

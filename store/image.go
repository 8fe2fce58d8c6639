package store

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"sabrefs/iaa"
	"sabrefs/iaa/huffman"
)

// Image is an open image, with its parent and all ancestors if it has one. Its
// methods may be called from any number of goroutines at once; Close may not run
// beside them.
//
// Opening reads the header, the trailer, the page directory and the checksums
// of the frame table, which together have a few bytes per 16 MiB of guest
// memory. The tables themselves are mapped; each part is checked against its
// checksum when it is first used.
type Image struct {
	path    string
	file    *os.File
	header  *Header
	opening *imageFile // what was read of the file; nil when the image is open
	decoder decoder
	cacheID uint32 // names the image in a FrameCache

	directory []byte // page directory, checked at open
	blockCRCs []byte // checksums of the frame table's blocks, checked at open
	pageMap   mappedTable
	frames    mappedTable

	chunkChecked bitmap // stored chunks of the page map found intact
	blockChecked bitmap // blocks of the frame table found intact
	around       readAround

	// tables loads the shared Huffman tables when a frame first needs one.
	tables func() ([]*iaa.Table, error)

	parent     *Image   // nil without, and if the image was opened alone
	chain      []*Image // the ancestors, root first, and the image
	firstFrame int64    // number of its first frame in the chain
	stale      bool     // an ancestor is not the image that it was
	moved      func() ([]movedPage, error)

	users  atomic.Int64 // who opened it and did not close it
	forget func()       // nil, or takes it out of the Parents that share it
}

// lastCacheID numbers the images that this process opened.
var lastCacheID atomic.Uint32

// OpenOptions change how an image is opened.
type OpenOptions struct {
	// Engine decodes DEFLATE frames; nil means iaa.Default().
	Engine iaa.Engine
	// Parents finds the parents that the image needs; nil means: where the image
	// says that they are.
	Parents *Parents
	// Alone opens no parent. Header, sections and own frames can be read; looking
	// pages up fails with ErrParent if the image has a parent.
	Alone bool

	// parentFile is the path of the parent, whatever the image says.
	parentFile string
}

// Open opens an image for reading. It refuses what is not an image, is of a
// newer version, needs an unknown feature, is truncated or damaged where every
// reader looks; damage elsewhere is found, and refused, when it is read.
func Open(path string, opt OpenOptions) (*Image, error) {
	file, err := openRegular(path, ErrNotImage)
	if err != nil {
		return nil, err
	}
	return OpenFile(file, path, opt)
}

// OpenFile is Open for a file that is open already. It takes the file over, also if
// it fails; path is for messages, and for finding the parent.
func OpenFile(file *os.File, path string, opt OpenOptions) (*Image, error) {
	f, err := readImageFile(file, path, openTailBytes)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if opt.Parents == nil {
		opt.Parents = NewParents(nil)
	}
	if !opt.Alone && opt.parentFile == "" { // an image over another parent is nobody else's
		return opt.Parents.openShared(f, opt, nil)
	}
	img, err := openFile(f, opt, nil)
	if err != nil {
		return nil, errors.Join(inFile(path, err), file.Close())
	}
	return img, nil
}

// openFile opens an image and its ancestors. If it fails, the file stays open.
func openFile(f *imageFile, opt OpenOptions, trail []fileState) (*Image, error) {
	img := newImage(f)
	img.decoder, img.cacheID = decoder{opt.Engine}, lastCacheID.Add(1)
	if err := img.loadTables(); err != nil {
		return nil, errors.Join(err, img.release())
	}
	if err := img.openChain(opt, trail); err != nil {
		return nil, errors.Join(err, img.release())
	}
	return img, nil
}

// newImage returns an image of which no table is loaded.
func newImage(f *imageFile) *Image {
	img := &Image{path: f.path, file: f.File, header: f.header, opening: f}
	img.users.Store(1)
	img.chain = []*Image{img}
	img.tables = sync.OnceValues(img.loadSharedTables)
	img.moved = sync.OnceValues(img.loadMoved)
	return img
}

// openChain opens the parent, if the image has one. Nothing more is read of the file
// then.
func (img *Image) openChain(opt OpenOptions, trail []fileState) error {
	if !img.header.HasParent() || opt.Alone {
		img.firstFrame = img.header.InheritedFrames
		img.endReading()
		return nil
	}
	recorded, err := img.readLayers()
	if err != nil {
		return err
	}
	ref, err := img.ParentRef()
	if err != nil {
		return err
	}
	if isOutermost := len(trail) <= 1; isOutermost && img.opening.isCold {
		img.requestAncestors(opt.Parents)
	}
	img.endReading()
	var parent *Image
	if opt.parentFile == "" {
		parent, err = opt.Parents.openParent(img.path, ref, opt, trail)
	} else {
		parent, err = Open(opt.parentFile, OpenOptions{Engine: opt.Engine, Parents: opt.Parents})
	}
	if err != nil {
		return err
	}
	return img.join(parent, recorded)
}

// endReading says that what was read of the file is not needed any more.
func (img *Image) endReading() {
	img.opening.forget()
	img.opening = nil
}

// ReadHeader reads and checks the header and the trailer of an image, and
// nothing else.
func ReadHeader(path string) (Header, error) {
	file, err := openRegular(path, ErrNotImage)
	if err != nil {
		return Header{}, err
	}
	defer file.Close()
	f, err := readImageFile(file, path, trailerBytes)
	if err != nil {
		return Header{}, err
	}
	return *f.header, nil
}

// shortRead turns the end of a file where there should be bytes into
// ErrTruncated.
func shortRead(err error, packedOff int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return findingAt(ErrTruncated, packedOff, "the file ends early")
	}
	return err
}

func (img *Image) loadTables() error {
	var err error
	if img.directory, err = img.readSection(SectionPageDirectory); err != nil {
		return err
	}
	if img.blockCRCs, err = img.readSection(SectionFrameChecksums); err != nil {
		return err
	}
	pageMap := img.section(SectionPageMap)
	if img.pageMap, err = mapTable(img.file, pageMap.packedOff, pageMap.lenBytes); err != nil {
		return err
	}
	frames := img.section(SectionFrameTable)
	if img.frames, err = mapTable(img.file, frames.packedOff, frames.lenBytes); err != nil {
		return err
	}
	img.chunkChecked = newBitmap(pageMap.lenBytes / chunkBytes)
	img.blockChecked = newBitmap(blocksOf(img.header.FrameCount))
	img.around.requested = newBitmap(img.header.FileBytes/readAroundBytes + 1)
	return nil
}

// section returns the section of a kind, or one of zero length. parseSections
// has proven where it lies.
func (img *Image) section(kind SectionType) section {
	for _, s := range img.header.sections {
		if s.kind == kind {
			return s
		}
	}
	return section{kind: kind}
}

func (img *Image) readAt(b []byte, packedOff int64) error {
	if img.opening != nil {
		return img.opening.readAt(b, packedOff)
	}
	if _, err := img.file.ReadAt(b, packedOff); err != nil {
		return shortRead(err, packedOff)
	}
	return nil
}

// readSection reads a whole section and compares its checksum. Its length was
// bounded by the size of the file.
func (img *Image) readSection(kind SectionType) ([]byte, error) {
	s := img.section(kind)
	b := make([]byte, s.lenBytes)
	if err := img.readAt(b, s.packedOff); err != nil {
		return nil, err
	}
	if got := crc32.ChecksumIEEE(b); got != s.crc32 {
		return nil, corruptAt(s.packedOff, "section %v: checksum is %08x, computed %08x", kind, s.crc32, got)
	}
	return b, nil
}

// Close ends one use of the image, and releases it with the last: an image may be opened
// several times with one [Parents], and have uses added by Retain.
func (img *Image) Close() error {
	if img.users.Add(-1) > 0 {
		return nil
	}
	if img.forget != nil {
		img.forget()
	}
	return errors.Join(img.release(), img.file.Close())
}

// Retain adds a use, which a Close ends, unless the image is closed or about to be.
func (img *Image) Retain() bool {
	for {
		n := img.users.Load()
		if n == 0 {
			return false
		}
		if img.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release frees everything but the file, which the caller closes.
func (img *Image) release() error {
	img.around.wait()
	err := errors.Join(img.pageMap.unmap(), img.frames.unmap())
	if img.parent != nil {
		err = errors.Join(err, img.parent.Close())
	}
	return err
}

// Path is the path the image was opened by.
func (img *Image) Path() string { return img.path }

// Header returns a copy of the image's header.
func (img *Image) Header() Header { return *img.header }

// RawBytes is the size of the memory file that the image holds.
func (img *Image) RawBytes() int64 { return img.header.RawBytes }

// WorkingSet returns the recorded working set in first-touch order; empty if
// the image has none.
func (img *Image) WorkingSet() ([]PageRun, error) {
	b, err := img.readOptional(SectionWorkingSet, min(img.header.PageCount(), MaxWorkingSetRuns)*pageRunBytes)
	if err != nil {
		return nil, inFile(img.path, err)
	}
	runs, err := decodeWorkingSet(b, img.header.PageCount())
	return runs, inFile(img.path, err)
}

// SharedTables returns the codes of the shared Huffman tables; empty if the image
// has none.
func (img *Image) SharedTables() ([]huffman.Lengths, error) {
	b, err := img.readOptional(SectionSharedTables, MaxSharedTables*sharedTableBytes)
	if err != nil {
		return nil, inFile(img.path, err)
	}
	tables, err := decodeSharedTables(b)
	return tables, inFile(img.path, err)
}

func (img *Image) loadSharedTables() ([]*iaa.Table, error) {
	lengths, err := img.SharedTables()
	if err != nil {
		return nil, err
	}
	tables, err := prepareTables(lengths)
	return tables, inFile(img.path, err)
}

func (img *Image) readOptional(kind SectionType, maxBytes int64) ([]byte, error) {
	s := img.section(kind)
	if s.lenBytes == 0 {
		return nil, nil
	}
	if s.lenBytes > maxBytes {
		return nil, corruptAt(s.packedOff, "section %v of %d bytes, at most %d", kind, s.lenBytes, maxBytes)
	}
	return img.readSection(kind)
}

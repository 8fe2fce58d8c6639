package store

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
	"sabrefs/iaa/huffman"
)

// Image is an open image. Its methods may be called from any number of
// goroutines at once; Close may not run beside them.
//
// Opening reads the header, the trailer, the page directory and the checksums
// of the frame table, which together have a few bytes per 16 MiB of guest
// memory. The tables themselves are mapped; each part is checked against its
// checksum when it is first used.
type Image struct {
	path    string
	file    *os.File
	header  *Header
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
}

// lastCacheID numbers the images that this process opened.
var lastCacheID atomic.Uint32

// OpenOptions change how an image is opened.
type OpenOptions struct {
	// Engine decodes DEFLATE frames; nil means iaa.Default().
	Engine iaa.Engine
}

// Open opens an image for reading. It refuses what is not an image, is of a
// newer version, needs an unknown feature, is truncated or damaged where every
// reader looks; damage elsewhere is found, and refused, when it is read.
func Open(path string, opt OpenOptions) (*Image, error) {
	file, err := openRegular(path, ErrNotImage)
	if err != nil {
		return nil, err
	}
	requestTail(file)
	img, err := openFile(path, file, opt)
	if err != nil {
		return nil, errors.Join(inFile(path, err), file.Close())
	}
	return img, nil
}

// openReadBytes is what is requested of the end of an image before anything
// else is read: trailer, page directory and frame checksums of an image of up
// to 64 GiB.
const openReadBytes = 128 << 10

// requestTail starts reading the end of the file while the header is read. It
// is a hint: without it, all would be read one after the other.
func requestTail(file *os.File) {
	if info, err := file.Stat(); err == nil {
		_ = unix.Fadvise(int(file.Fd()), max(0, info.Size()-openReadBytes), 0, unix.FADV_WILLNEED)
	}
}

func openFile(path string, file *os.File, opt OpenOptions) (*Image, error) {
	header, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	img := &Image{path: path, file: file, header: header, decoder: decoder{opt.Engine}, cacheID: lastCacheID.Add(1)}
	img.tables = sync.OnceValues(img.loadSharedTables)
	if err := img.loadTables(); err != nil {
		return nil, errors.Join(err, img.release())
	}
	return img, nil
}

// readHeader reads and checks the header and the trailer of an open image.
func readHeader(file *os.File) (*Header, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, headerBytes)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	header, err := parseHeader(b[:n], info.Size())
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, trailerBytes)
	if _, err := file.ReadAt(trailer, header.FileBytes-trailerBytes); err != nil {
		return nil, shortRead(err, header.FileBytes-trailerBytes)
	}
	return header, checkTrailer(trailer, header, b)
}

// ReadHeader reads and checks the header and the trailer of an image, and
// nothing else.
func ReadHeader(path string) (Header, error) {
	file, err := openRegular(path, ErrNotImage)
	if err != nil {
		return Header{}, err
	}
	defer file.Close()
	header, err := readHeader(file)
	if err != nil {
		return Header{}, inFile(path, err)
	}
	return *header, nil
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

// readSection reads a whole section and compares its checksum. Its length was
// bounded by the size of the file.
func (img *Image) readSection(kind SectionType) ([]byte, error) {
	s := img.section(kind)
	b := make([]byte, s.lenBytes)
	if _, err := img.file.ReadAt(b, s.packedOff); err != nil {
		return nil, shortRead(err, s.packedOff)
	}
	if got := crc32.ChecksumIEEE(b); got != s.crc32 {
		return nil, corruptAt(s.packedOff, "section %v: checksum is %08x, computed %08x", kind, s.crc32, got)
	}
	return b, nil
}

// Close releases the image.
func (img *Image) Close() error { return errors.Join(img.release(), img.file.Close()) }

func (img *Image) release() error {
	img.around.wait()
	return errors.Join(img.pageMap.unmap(), img.frames.unmap())
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

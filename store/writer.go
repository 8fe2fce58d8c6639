package store

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"sabrefs/iaa/huffman"
)

// imageWriter writes an image: frames in the order they are to stand in the
// file, page map entries in any order, and at the end the tables, the trailer
// and the header. It is used by one goroutine for frames and one for pages.
type imageWriter struct {
	file   *atomicFile
	out    *bufio.Writer // at packedOff of file
	header Header
	pages  *pageMapBuilder

	packedOff    int64
	frameSpool   unnamedFile
	frameOut     *bufio.Writer
	frameCRCs    []byte // of the finished blocks of the frame table
	blockCRC     uint32
	workingSet   []PageRun
	sharedTables []huffman.Lengths
	digests      digestSpool // of the pages of frames
	chunkDigests []byte

	parent     *Image   // nil without
	parentPath string   // relative to the directory of the image
	ancestors  []string // the same of the parent's ancestors
	moved      []movedPage
}

// newImageWriter begins an image of rawBytes bytes whose largest frames have
// 1<<slotBits pages. It appears as target when finish is called.
func newImageWriter(target string, overwrite bool, mode fs.FileMode, rawBytes int64, slotBits uint8) (*imageWriter, error) {
	const bufferBytes = 1 << 20
	file, err := createAtomic(target, overwrite, mode)
	if err != nil {
		return nil, err
	}
	w := &imageWriter{
		file: file, out: bufio.NewWriterSize(file, bufferBytes),
		header: Header{Version: FormatVersion, RawBytes: rawBytes, SlotBits: slotBits, FramesOff: headerBytes},
	}
	if err := w.begin(filepath.Dir(target)); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	return w, nil
}

// begin makes the files that tables wait in and writes the place of the header.
func (w *imageWriter) begin(dir string) (err error) {
	if w.pages, err = newPageMapBuilder(dir, w.header.PageCount()); err != nil {
		return err
	}
	if w.frameSpool, err = createUnnamed(dir); err != nil {
		return err
	}
	w.frameOut = bufio.NewWriter(w.frameSpool)
	if w.digests, err = newDigestSpool(dir); err != nil {
		return err
	}
	// the header is written last, over these zeros: a file that was cut short
	// has no magic
	return w.write(make([]byte, headerBytes))
}

// abort drops the image.
func (w *imageWriter) abort() error { return errors.Join(w.closeSpools(), w.file.abort()) }

func (w *imageWriter) closeSpools() error {
	var err error
	if w.pages != nil {
		err = w.pages.close()
	}
	if w.frameSpool.File != nil {
		err = errors.Join(err, w.frameSpool.close())
	}
	return errors.Join(err, w.digests.close())
}

func (w *imageWriter) write(b []byte) error {
	n, err := w.out.Write(b)
	w.packedOff += int64(n)
	return err
}

// haveParent makes the image a child.
func (w *imageWriter) haveParent(parent *Image, path string, ancestors []string) {
	w.parent, w.parentPath, w.ancestors = parent, path, ancestors
	h := &w.header
	h.Incompat |= FeatureParent
	h.Parent, h.Depth, h.InheritedFrames = parent.header.Identity, parent.depth()+1, parent.endFrame()
}

// appendFrame writes the next frame. entry needs no offset and no length; digests
// are those of its pages.
func (w *imageWriter) appendFrame(entry FrameEntry, packed, digests []byte) error {
	if err := w.digests.add(digests); err != nil {
		return err
	}
	entry.PackedOff, entry.PackedLen = w.packedOff, len(packed)
	if err := w.write(packed); err != nil {
		return err
	}
	var b [frameEntryBytes]byte
	entry.encode(b[:])
	w.blockCRC = crc32.Update(w.blockCRC, crc32.IEEETable, b[:])
	w.header.FrameCount++
	if w.header.FrameCount%blockFrames == 0 {
		w.endBlock()
	}
	_, err := w.frameOut.Write(b[:])
	return err
}

func (w *imageWriter) endBlock() {
	w.frameCRCs = binary.LittleEndian.AppendUint32(w.frameCRCs, w.blockCRC)
	w.blockCRC = 0
}

// finish writes what follows the frames and publishes the image.
func (w *imageWriter) finish(content *contentDigester) (Header, error) {
	w.header.FramesBytes = w.packedOff - w.header.FramesOff
	w.header.Digest, w.chunkDigests = content.sum(), content.chunks
	if err := w.stampIdentity(); err != nil {
		return Header{}, errors.Join(err, w.abort())
	}
	if err := w.writeTables(); err != nil {
		return Header{}, errors.Join(err, w.abort())
	}
	if err := w.writeEnds(); err != nil {
		return Header{}, errors.Join(err, w.abort())
	}
	if err := w.closeSpools(); err != nil {
		return Header{}, errors.Join(err, w.file.abort())
	}
	return w.header, w.file.commit()
}

// stampIdentity gives the image a UUID and a time, unless it has them.
func (w *imageWriter) stampIdentity() error {
	if w.header.CreatedAt.IsZero() {
		w.header.CreatedAt = time.Now().UTC()
	}
	if w.header.UUID != uuid.Nil {
		return nil
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("making an image UUID: %w", err)
	}
	w.header.UUID = id
	return nil
}

func (w *imageWriter) writeTables() error {
	if err := w.write(make([]byte, SlackBytes)); err != nil {
		return err
	}
	var directory []byte
	err := w.addSection(SectionPageMap, false, func(out io.Writer) (err error) {
		directory, _, err = w.pages.writeTo(out, w.sharedChunks())
		return err
	})
	if err != nil {
		return err
	}
	if err := w.addSection(SectionFrameTable, false, w.copyFrameTable); err != nil {
		return err
	}
	if err := w.writeOptional(); err != nil {
		return err
	}
	if err := w.writeParent(); err != nil {
		return err
	}
	// What every open reads comes last, beside the trailer, so that one access
	// to a cold disk brings all of it (see openReadBytes).
	if err := w.addBytes(SectionFrameChecksums, w.frameCRCs); err != nil {
		return err
	}
	return w.addBytes(SectionPageDirectory, directory)
}

func (w *imageWriter) writeOptional() error {
	if len(w.workingSet) > 0 {
		if err := w.addBytes(SectionWorkingSet, encodeWorkingSet(w.workingSet)); err != nil {
			return err
		}
	}
	if len(w.sharedTables) > 0 {
		if err := w.addBytes(SectionSharedTables, encodeSharedTables(w.sharedTables)); err != nil {
			return err
		}
	}
	if w.header.FrameCount > 0 {
		if err := w.addSection(SectionPageDigests, true, w.digests.writeTo); err != nil {
			return err
		}
	}
	return w.addBytes(SectionChunkDigests, w.chunkDigests)
}

func (w *imageWriter) sharedChunks() *sharedChunks {
	if w.parent == nil {
		return nil
	}
	return &sharedChunks{w.parent, w.header.SlotBits}
}

// writeParent writes what a child says of its ancestors.
func (w *imageWriter) writeParent() error {
	if w.parent == nil {
		return nil
	}
	slices.SortFunc(w.moved, func(a, b movedPage) int { return cmp.Compare(a.page, b.page) })
	if err := w.addBytes(SectionMovedPages, encodeMoved(w.moved)); err != nil {
		return err
	}
	if err := w.addBytes(SectionParentPath, []byte(w.parentPath)); err != nil {
		return err
	}
	if len(w.ancestors) > 0 {
		if err := w.addBytes(SectionAncestorPaths, encodePaths(w.ancestors)); err != nil {
			return err
		}
	}
	return w.addBytes(SectionLayers, encodeLayers(w.parent.chain))
}

func (w *imageWriter) copyFrameTable(out io.Writer) error {
	if w.header.FrameCount%blockFrames != 0 {
		w.endBlock()
	}
	if err := w.frameOut.Flush(); err != nil {
		return err
	}
	_, err := io.Copy(out, io.NewSectionReader(w.frameSpool, 0, w.header.FrameCount*frameEntryBytes))
	return err
}

func (w *imageWriter) addBytes(kind SectionType, b []byte) error {
	return w.addSection(kind, true, func(out io.Writer) error {
		_, err := out.Write(b)
		return err
	})
}

// addSection writes a section at the next aligned offset. Sections whose parts
// have checksums of their own have none as a whole.
func (w *imageWriter) addSection(kind SectionType, checksum bool, fill func(io.Writer) error) error {
	if pad := -w.packedOff & (tableAlignBytes - 1); pad > 0 {
		if err := w.write(make([]byte, pad)); err != nil {
			return err
		}
	}
	crc := crc32.NewIEEE()
	counted := &countingWriter{}
	if err := fill(io.MultiWriter(w.out, crc, counted)); err != nil {
		return err
	}
	s := section{kind: kind, packedOff: w.packedOff, lenBytes: counted.bytes}
	if checksum {
		s.crc32 = crc.Sum32()
	}
	w.packedOff += counted.bytes
	w.header.sections = append(w.header.sections, s)
	return nil
}

// writeEnds writes the trailer and, now that all is known, the header.
func (w *imageWriter) writeEnds() error {
	w.header.FileBytes = w.packedOff + trailerBytes
	header := w.header.encode()
	if _, err := parseHeader(header, w.header.FileBytes); err != nil {
		return fmt.Errorf("refusing to write a header that no reader would accept: %w", err)
	}
	if err := w.write(encodeTrailer(&w.header, header)); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	_, err := w.file.WriteAt(header, 0)
	return err
}

type countingWriter struct{ bytes int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

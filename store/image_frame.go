package store

import (
	"context"
	"hash/crc32"
	"sync"
)

// packedBufs holds buffers (*[]byte) for the packed bytes of a frame with slack.
var packedBufs = sync.Pool{New: newSlackBuf}

// ReadFrame decodes a frame into dst, which must have entry.RawBytes() bytes,
// and compares its checksum. entry comes from Frame. What lies between the length
// and the capacity of dst may be overwritten: decoding is much faster if there are
// SlackBytes of it.
func (img *Image) ReadFrame(ctx context.Context, entry FrameEntry, dst []byte) error {
	if entry.SharedTable != 0 {
		return inFile(img.path, findingAt(ErrFeature, entry.PackedOff, "a frame with shared Huffman tables"))
	}
	buf, _ := packedBufs.Get().(*[]byte)
	defer packedBufs.Put(buf)
	// The slack behind the frame is the next frame or padding: it is read
	// along so that decoders may look past the end of their input.
	packed := (*buf)[:entry.PackedLen+SlackBytes]
	if _, err := img.file.ReadAt(packed, entry.PackedOff); err != nil {
		return inFile(img.path, shortRead(err, entry.PackedOff))
	}
	img.around.request(img.file, entry)
	if err := img.decoder.decode(ctx, entry.Codec, dst, packed[:entry.PackedLen]); err != nil {
		if ctx.Err() != nil {
			return inFile(img.path, err)
		}
		return inFile(img.path, corruptAt(entry.PackedOff, "frame: %v", err))
	}
	if got := crc32.ChecksumIEEE(dst); got != entry.CRC32 {
		return inFile(img.path, corruptAt(entry.PackedOff, "frame: checksum is %08x, computed %08x", entry.CRC32, got))
	}
	return nil
}

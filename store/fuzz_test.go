package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"sabrefs/iaa"
	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// memoryPath returns a path of a file that lives in memory only, for fuzzing
// opens thousands of files a second.
func memoryPath(t *testing.T, content []byte) string {
	t.Helper()
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC)
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, unix.Close(fd)) })
	for n := 0; n < len(content); {
		written, err := unix.Pwrite(fd, content[n:], int64(n))
		wantNoError(t, err)
		n += written
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

// smallestImages are images of at most two pages: few bytes are filling.
func smallestImages(f *testing.F) [][]byte {
	f.Helper()
	images := [][]byte{goldenImage(f)}
	for _, codec := range allCodecs {
		for _, raw := range [][]byte{{}, steppedPage(), append(steppedPage(), 1)} {
			path, _ := packBytes(f, raw, PackOptions{Codec: codec, Raw: codec == CodecRaw, FramePages: 1, UUID: fixedUUID, CreatedAt: fixedTime})
			images = append(images, readFile(f, path))
		}
	}
	return images
}

// runMark begins a run in the short form of an image: the byte that follows it,
// as many times as the two bytes after that say. The fuzzer works on the short
// form, for most of an image is filling.
const runMark = 0xfe

func shorten(image []byte) []byte {
	const longestRun = 1<<16 - 1
	var short []byte
	for len(image) > 0 {
		n := min(repeats(image, 1), longestRun)
		if n > 4 || image[0] == runMark {
			short = append(short, runMark, image[0])
			short = binary.LittleEndian.AppendUint16(short, uint16(n))
		} else {
			n = 1
			short = append(short, image[0])
		}
		image = image[n:]
	}
	return short
}

// lengthen is the inverse of shorten. It takes any bytes and makes of them at
// most a megabyte.
func lengthen(short []byte) (image []byte) {
	for len(short) > 0 && len(image) < 1<<20 {
		if short[0] != runMark || len(short) < 4 {
			image = append(image, short[0])
			short = short[1:]
			continue
		}
		n := binary.LittleEndian.Uint16(short[2:])
		image = append(image, bytes.Repeat(short[1:2], int(n))...)
		short = short[4:]
	}
	return image
}

// FuzzOpenImage opens arbitrary bytes, with their checksums fitted if fix is
// set. What Verify accepts must survive being unpacked and packed.
func FuzzOpenImage(f *testing.F) {
	for _, image := range smallestImages(f) {
		short := shorten(image)
		wantBytes(f, "image made short and long again", lengthen(short), image)
		f.Add(short, false)
		f.Add(short, true)
	}
	f.Fuzz(func(t *testing.T, short []byte, fix bool) {
		image := lengthen(short)
		if fix {
			reseal(image)
		}
		checkOpens(t, image)
	})
}

// FuzzPatchedImage changes bytes of a good image, four at a time, and fits its
// checksums: claims, not noise.
func FuzzPatchedImage(f *testing.F) {
	images := smallestImages(f)
	f.Add(uint8(0), uint32(hdrRawBytes), uint32(1<<30), uint32(0), uint32(0))
	f.Add(uint8(1), uint32(hdrFrameCount), uint32(9), uint32(0x6000), uint32(1<<30|5))
	f.Add(uint8(5), uint32(hdrSectionTable+8), uint32(0x1000), uint32(hdrSectionTable+16), uint32(1<<31))
	f.Fuzz(func(t *testing.T, base uint8, off1, value1, off2, value2 uint32) {
		image := bytes.Clone(images[int(base)%len(images)])
		for off, value := range map[uint32]uint32{off1: value1, off2: value2} {
			binary.LittleEndian.PutUint32(image[off%uint32(len(image)-3):], value)
		}
		reseal(image)
		checkOpens(t, image)
	})
}

// checkOpens uses an image of unknown origin.
func checkOpens(t *testing.T, image []byte) {
	t.Helper()
	img, err := Open(memoryPath(t, image), OpenOptions{})
	if err != nil {
		wantEqual(t, fmt.Sprintf("open refuses it as damage (%v)", err), refused(err), true)
		return
	}
	defer img.Close()
	if img.RawBytes() > 64<<20 {
		return // sparse, but too slow for fuzzing
	}
	raw, readErr := readAll(img)
	result, err := img.Verify(t.Context(), nil)
	if err != nil {
		wantEqual(t, fmt.Sprintf("Verify refuses it as damage (%v)", err), refused(err), true)
		return
	}
	wantNoError(t, readErr)
	wantEqual(t, "digest", result.Digest, naiveDigest(raw).String())
	back := filepath.Join(t.TempDir(), "mem_file")
	_, err = UnpackFile(t.Context(), img.Path(), back, UnpackOptions{})
	wantNoError(t, err)
	packed, err := PackFile(t.Context(), back, back+ImageSuffix, PackOptions{Codec: CodecLZ4, Level: LevelFast, Workers: 1})
	wantNoError(t, err)
	wantEqual(t, "digest after unpacking and packing", packed.Digest, result.Digest)
}

// FuzzHeader parses headers whose magic and checksum are right. What it
// accepts keeps the promises that the rest of the package builds upon.
func FuzzHeader(f *testing.F) {
	for _, image := range smallestImages(f) {
		f.Add(image[:hdrSectionTable+7*sectionEntryBytes])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		image := make([]byte, headerBytes+trailerBytes)
		b := image[:headerBytes]
		copy(b, data)
		copy(b, magic)
		resealHeader(image)
		fileBytes := int64(binary.LittleEndian.Uint64(b[hdrFileBytes:]))
		h, err := parseHeader(b, fileBytes)
		if err != nil {
			wantEqual(t, "it is refused as damage", refused(err), true)
			return
		}
		checkHeaderPromises(t, h, fileBytes)
		again, err := parseHeader(h.encode(), fileBytes)
		wantNoError(t, err)
		if !reflect.DeepEqual(again, h) {
			t.Fatalf("header is %+v, want %+v", again, h)
		}
	})
}

func checkHeaderPromises(t *testing.T, h *Header, fileBytes int64) {
	t.Helper()
	if h.RawBytes < 0 || h.RawBytes > MaxRawBytes || h.FrameCount < 0 || h.FrameCount > h.PageCount() || h.SlotBits > 6 {
		t.Fatalf("limits: %+v", h)
	}
	end := h.FramesOff + h.FramesBytes + SlackBytes
	for _, s := range slices.SortedFunc(slices.Values(h.sections), func(a, b section) int {
		return int(min(max(a.packedOff-b.packedOff, -1), 1))*2 + int(min(max(a.lenBytes-b.lenBytes, -1), 1))
	}) {
		if s.packedOff < end || s.lenBytes < 0 || s.packedOff%tableAlignBytes != 0 {
			t.Fatalf("section %+v begins before %d", s, end)
		}
		end = s.packedOff + s.lenBytes
	}
	if end > fileBytes-trailerBytes {
		t.Fatalf("sections end at %d in a file of %d", end, fileBytes)
	}
}

func FuzzFrameEntry(f *testing.F) {
	f.Add(uint64(headerBytes|1<<48|3<<56), uint64(100), uint8(0), uint64(100))
	f.Add(uint64(headerBytes|64<<48), uint64(MaxFrameBytes), uint8(6), uint64(MaxFrameBytes))
	f.Add(uint64(1<<48-1), uint64(1<<24-1), uint8(3), uint64(1)<<47)
	f.Fuzz(func(t *testing.T, low, high uint64, slotBits uint8, framesBytes uint64) {
		h := &Header{SlotBits: slotBits % 7, FramesOff: headerBytes, FramesBytes: int64(framesBytes % uint64(maxPackedBytes))}
		var b, again [frameEntryBytes]byte
		binary.LittleEndian.PutUint64(b[:], low)
		binary.LittleEndian.PutUint64(b[8:], high)
		entry, err := decodeFrameEntry(b[:], h)
		if err != nil {
			wantClass(t, err, ErrCorrupt)
			return
		}
		if entry.PackedOff < h.FramesOff || entry.PackedOff+int64(entry.PackedLen) > h.FramesOff+h.FramesBytes ||
			entry.PackedLen < 1 || entry.PackedLen > entry.RawBytes() || entry.RawBytes() > MaxFrameBytes {
			t.Fatalf("entry %+v for %+v", entry, h)
		}
		entry.encode(again[:])
		wantEqual(t, "entry", again, b)
	})
}

func FuzzPageRef(f *testing.F) {
	f.Add(uint32(0), uint8(0), uint32(1))
	f.Add(uint32(1<<30|77), uint8(6), uint32(2))
	f.Add(uint32(2<<30|77), uint8(3), uint32(0))
	f.Add(uint32(3<<30), uint8(6), uint32(1<<31))
	f.Fuzz(func(t *testing.T, entry uint32, slotBits uint8, frames uint32) {
		slotBits %= 7
		ref, err := decodePageRef(entry, slotBits, int64(frames))
		if err != nil {
			wantClass(t, err, ErrCorrupt)
			return
		}
		if ref.Kind == PageInFrame && (ref.Frame >= frames || ref.Slot >= 1<<slotBits) {
			t.Fatalf("reference %+v with %d frames", ref, frames)
		}
		wantEqual(t, "entry", ref.encode(slotBits), entry)
	})
}

func FuzzWorkingSet(f *testing.F) {
	f.Add(encodeWorkingSet(goldenWorkingSet), int64(8))
	f.Add(encodeWorkingSet([]PageRun{{1<<32 - 1, 1<<32 - 1}}), int64(1<<30))
	f.Add([]byte{1}, int64(-1))
	f.Fuzz(func(t *testing.T, b []byte, pageCount int64) {
		runs, err := decodeWorkingSet(b, pageCount)
		if err != nil {
			wantClass(t, err, ErrCorrupt)
			return
		}
		for _, run := range runs {
			if run.PageCount == 0 || int64(run.FirstPage)+int64(run.PageCount) > pageCount {
				t.Fatalf("run %+v in %d pages", run, pageCount)
			}
		}
		wantBytes(t, "working set", encodeWorkingSet(runs), b)
	})
}

func FuzzSharedTables(f *testing.F) {
	f.Add(encodeSharedTables([]huffman.Lengths{goldenTable()}))
	f.Add(encodeSharedTables(make([]huffman.Lengths, 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		tables, err := decodeSharedTables(b)
		if err != nil {
			wantClass(t, err, ErrCorrupt)
			return
		}
		b = bytes.Clone(b)
		for i := range tables {
			clear(b[(i+1)*sharedTableBytes-4 : (i+1)*sharedTableBytes]) // reserved
		}
		wantBytes(t, "shared tables", encodeSharedTables(tables), b)
	})
}

// guardedDecode decodes into the middle of a buffer and checks what was written
// around it: nothing, or, if the capacity of the destination allows it, at most
// the slack behind it.
func guardedDecode(t *testing.T, codec Codec, packed []byte, rawBytes int) ([]byte, error) {
	t.Helper()
	dst, err := decodeWithin(t, codec, packed, rawBytes, 0)
	wide, wideErr := decodeWithin(t, codec, packed, rawBytes, 4*SlackBytes)
	wantEqual(t, "error does not depend on the room behind", err == nil, wideErr == nil)
	if err == nil {
		wantBytes(t, "frame decoded with room behind it", wide, dst)
	}
	return dst, err
}

// decodeWithin gives the destination roomBytes of capacity beyond its length.
func decodeWithin(t *testing.T, codec Codec, packed []byte, rawBytes, roomBytes int) ([]byte, error) {
	t.Helper()
	const guardBytes = 8 * SlackBytes
	buf := bytes.Repeat([]byte{0xa5}, rawBytes+2*guardBytes)
	end := guardBytes + rawBytes
	dst := buf[guardBytes : end : end+roomBytes]
	_, err := decoder{iaa.Software()}.decode(context.Background(), codec, nil, dst, packed)
	for i, b := range buf {
		if b != 0xa5 && (i < guardBytes || i >= end+min(roomBytes, SlackBytes)) {
			t.Fatalf("byte %d of a destination of %d was written", i-guardBytes, rawBytes)
		}
	}
	return dst, err
}

func addFrames(f *testing.F, codec Codec) {
	f.Helper()
	golden, err := hex.DecodeString(goldenFrames[codec])
	wantNoError(f, err)
	f.Add(golden, uint16(PageBytes))
	f.Add(golden, uint16(PageBytes-1))
	f.Add(golden[:len(golden)-1], uint16(PageBytes))
	f.Add([]byte{}, uint16(0))
	for _, level := range allLevels {
		enc, err := newEncoder(codec, level, PageBytes, deflateEncoder{engine: iaa.Software()})
		wantNoError(f, err)
		raw, packed := frameOf(uint64(level), 1), make([]byte, PageBytes)
		result, err := enc.encode(packed, raw)
		wantNoError(f, err)
		if result.shrinks {
			f.Add(packed[:result.n], uint16(PageBytes))
		}
	}
}

// FuzzDecodeZstd compares decoding into a buffer with decoding a stream.
func FuzzDecodeZstd(f *testing.F) {
	addFrames(f, CodecZstd)
	stream, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.IgnoreChecksum(true))
	wantNoError(f, err)
	f.Cleanup(stream.Close)
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes uint16) {
		got, err := guardedDecode(t, CodecZstd, packed, int(rawBytes))
		if err != nil {
			return
		}
		wantNoError(t, stream.Reset(bytes.NewReader(packed)))
		want, err := io.ReadAll(io.LimitReader(stream, 1<<20))
		wantNoError(t, err)
		wantBytes(t, "frame", got, want)
	})
}

// FuzzDecodeLZ4 compares the decoder with one that is as plain as can be.
func FuzzDecodeLZ4(f *testing.F) {
	addFrames(f, CodecLZ4)
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes uint16) {
		got, err := guardedDecode(t, CodecLZ4, packed, int(rawBytes))
		if err != nil {
			return
		}
		want, ok := plainLZ4(packed, int(rawBytes))
		wantEqual(t, "the plain decoder accepts it", ok, true)
		wantBytes(t, "frame", got, want)
	})
}

// plainLZ4 decodes an LZ4 block byte by byte, as its specification says.
func plainLZ4(packed []byte, maxBytes int) (raw []byte, ok bool) {
	next := func() int {
		if len(packed) == 0 {
			return -1
		}
		b := packed[0]
		packed = packed[1:]
		return int(b)
	}
	length := func(n int) int {
		for more := 255; n >= 15 && more == 255; n += more {
			if more = next(); more < 0 {
				return -1
			}
		}
		return n
	}
	for len(packed) > 0 {
		token := next()
		literals := length(token >> 4)
		if literals < 0 || literals > len(packed) {
			return nil, false
		}
		raw = append(raw, packed[:literals]...)
		packed = packed[literals:]
		if len(packed) == 0 {
			return raw, len(raw) <= maxBytes
		}
		low, high := next(), next()
		distance := low | high<<8
		match := length(token & 15)
		if high < 0 || match < 0 || distance == 0 || distance > len(raw) || len(raw)+match+4 > maxBytes {
			return nil, false
		}
		for range match + 4 {
			raw = append(raw, raw[len(raw)-distance])
		}
	}
	return raw, true
}

// FuzzPackRoundTrip packs memory that data describes: each two bytes make a
// page, zero, equal to another, or of its own.
func FuzzPackRoundTrip(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x02\x01\x02\x83\x04\xff\xff"), uint8(1), uint8(1), uint8(2), uint16(0))
	f.Add([]byte("\x83\x04\x84\x05\x00\x00\x00\x00"), uint8(2), uint8(2), uint8(0), uint16(4095))
	f.Add([]byte{}, uint8(3), uint8(0), uint8(6), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, codec, level, slotBits uint8, tail uint16) {
		raw := describedMemory(data[:min(len(data), 400)], int(tail)%PageBytes)
		path, result := packBytes(t, raw, PackOptions{
			Codec: allCodecs[codec%4], Raw: codec%4 == 0, Level: allLevels[level%4], FramePages: 1 << (slotBits % 7), Workers: 1,
		})
		wantEqual(t, "digest", result.Digest, naiveDigest(raw).String())
		wantContent(t, path, raw)
		wantUnpacked(t, path, raw)
	})
}

// FuzzLayout packs small memory with a working set, which the fuzzer gives as
// pairs of a page and a number of pages, and writes the image anew with another
// one. Runs outside of the memory are refused.
func FuzzLayout(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x02\x01\x02\x83\x04\xff\xff"), []byte{4, 1, 0, 2, 1, 3}, []byte{2, 1}, uint8(0x12), uint8(0x21))
	f.Add([]byte("\x83\x04\x84\x05\x00\x00\x00\x00"), []byte{0, 9}, []byte{}, uint8(0x31), uint8(0x03))
	f.Add([]byte("\x30\x01\x40\x02\x30\x01\x40\x03"), []byte{3, 1, 1, 1, 3, 1}, []byte{0, 0}, uint8(0x23), uint8(0x30))
	f.Fuzz(func(t *testing.T, data, first, second []byte, codecs, sizes uint8) {
		raw := describedMemory(data[:min(len(data), 200)], 0)
		cold, hot := allCodecs[codecs%4], allCodecs[codecs>>4%4]
		opt := PackOptions{
			Codec: cold, Raw: cold == CodecRaw, HotCodec: hot, HotRaw: hot == CodecRaw, Level: LevelFast,
			FramePages: 1 << (sizes % 7), HotFramePages: 1 << (sizes >> 4 % 7), Workers: 1,
		}
		src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
		image := filepath.Join(t.TempDir(), "image.sabre")
		if opt.WorkingSet = pairedRuns(first); !runsFit(opt.WorkingSet, len(raw)) {
			_, err := PackFile(t.Context(), src, image, opt)
			wantClass(t, err, ErrOption)
			opt.WorkingSet = nil
		}
		_, err := PackFile(t.Context(), src, image, opt)
		wantNoError(t, err)
		wantLaidOut(t, image, opt.WorkingSet, hot, opt.HotFramePages)
		again := PackOptions{HotCodec: cold, HotRaw: cold == CodecRaw, HotFramePages: opt.FramePages, WorkingSet: pairedRuns(second), Workers: 1}
		if !runsFit(again.WorkingSet, len(raw)) {
			return
		}
		_, err = RepackFile(t.Context(), image, again)
		wantNoError(t, err)
		wantLaidOut(t, image, again.WorkingSet, cold, again.HotFramePages)
		wantContent(t, image, raw)
	})
}

func pairedRuns(b []byte) []PageRun {
	runs := []PageRun{}
	for i := 0; i+1 < len(b); i += 2 {
		runs = append(runs, PageRun{FirstPage: uint32(b[i]), PageCount: uint32(b[i+1])})
	}
	return runs
}

func runsFit(runs []PageRun, rawBytes int) bool {
	return !slices.ContainsFunc(runs, func(r PageRun) bool {
		return r.PageCount == 0 || int(r.FirstPage)+int(r.PageCount) > rawBytes/PageBytes
	})
}

func describedMemory(data []byte, tail int) []byte {
	raw := make([]byte, len(data)/2*PageBytes+tail)
	for i := 0; i+1 < len(data); i += 2 {
		page := raw[i/2*PageBytes:][:PageBytes]
		r := seedtest.Fixed(uint64(data[i+1]))
		switch {
		case data[i] == 0:
		case data[i] < 0x80:
			fillPage(r, page, int(data[i]))
		default:
			page[int(data[i])*int(data[i+1])%PageBytes] = data[i+1]
		}
	}
	for i := len(raw) - tail; i < len(raw); i += 7 {
		raw[i] = byte(i)
	}
	return raw
}

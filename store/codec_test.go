package store

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sabrefs/iaa"
	"sabrefs/tests/seedtest"
)

var (
	allCodecs = []Codec{CodecRaw, CodecDeflate, CodecZstd, CodecLZ4}
	allLevels = []Level{LevelFast, LevelDefault, LevelBetter, LevelBest}
)

func TestCodecNames(t *testing.T) {
	for _, codec := range allCodecs {
		parsed, err := ParseCodec(codec.String())
		wantNoError(t, err)
		wantEqual(t, "codec", parsed, codec)
	}
	for _, name := range []string{"", "auto", "gzip", "ZSTD", "codec-4"} {
		_, err := ParseCodec(name)
		wantClass(t, err, ErrOption)
	}
	wantEqual(t, "unknown codec", Codec(9).String(), "codec-9")
}

func TestLevelNames(t *testing.T) {
	for _, level := range allLevels {
		parsed, err := ParseLevel(level.String())
		wantNoError(t, err)
		wantEqual(t, "level", parsed, level)
	}
	for _, name := range []string{"", "fastest", "1", "level-1"} {
		_, err := ParseLevel(name)
		wantClass(t, err, ErrOption)
	}
	for _, level := range []Level{0, -1, 5} {
		wantEqual(t, "unknown level", level.String(), fmt.Sprintf("level-%d", int(level)))
	}
}

// TestCodecsRoundTrip checks every codec at every level with frames of small,
// middle and full size, and that what it wrote shrank and is not read with a byte missing.
func TestCodecsRoundTrip(t *testing.T) {
	for _, codec := range allCodecs {
		for _, level := range allLevels {
			for pages := 1; pages <= MaxFramePages; pages *= 4 {
				t.Run(fmt.Sprintf("%v/%v/%d", codec, level, pages), func(t *testing.T) {
					enc, err := newEncoder(codec, level, pages*PageBytes, deflateEncoder{engine: iaa.Software()})
					wantNoError(t, err)
					// coders are reused from frame to frame, of any size
					for seed := range uint64(2) {
						wantRoundTrip(t, enc, codec, frameOf(seed, pages), pages)
						wantRoundTrip(t, enc, codec, frameOf(seed, 1+pages/2), pages)
					}
				})
			}
		}
	}
}

// frameOf makes a frame that holds text and noise.
func frameOf(seed uint64, pages int) []byte {
	r := seedtest.Fixed(seed)
	raw := make([]byte, pages*PageBytes)
	for i := range pages {
		fillPage(r, raw[i*PageBytes:][:PageBytes], 40+r.IntN(60))
	}
	return raw
}

// decodeAlone decodes a frame without a shared table, and compares the checksum
// that comes with it.
func decodeAlone(t *testing.T, codec Codec, dst, packed []byte) error {
	t.Helper()
	crc, err := decoder{iaa.Software()}.decode(t.Context(), codec, nil, dst, packed)
	if err == nil {
		wantEqual(t, "checksum", crc, crc32.ChecksumIEEE(dst))
	}
	return err
}

func wantRoundTrip(t *testing.T, enc encoder, codec Codec, raw []byte, maxPages int) {
	t.Helper()
	packed := make([]byte, maxPages*PageBytes)
	result, err := enc.encode(packed, raw)
	wantNoError(t, err)
	n := result.n
	if !result.shrinks {
		if codec != CodecRaw && bytes.Contains(raw, []byte("if err != nil ")) && len(raw) == PageBytes {
			t.Fatal("a page of text did not shrink")
		}
		return
	}
	if n < 1 || n >= len(raw) {
		t.Fatalf("a frame of %d bytes became %d", len(raw), n)
	}
	got := make([]byte, len(raw))
	wantNoError(t, decodeAlone(t, codec, got, packed[:n]))
	wantBytes(t, "frame", got, raw)
	if decodeAlone(t, codec, got, packed[:n-1]) == nil && !bytes.Equal(got, raw) {
		t.Fatal("a cut frame decoded to other bytes")
	}
}

// TestCodecsKeepNoiseRaw checks that what cannot shrink is reported so.
func TestCodecsKeepNoiseRaw(t *testing.T) {
	for _, codec := range allCodecs {
		for _, level := range allLevels {
			raw := make([]byte, 4*PageBytes)
			fillNoise(seedtest.Fixed(1), raw)
			enc, err := newEncoder(codec, level, len(raw), deflateEncoder{engine: iaa.Software()})
			wantNoError(t, err)
			result, err := enc.encode(make([]byte, len(raw)), raw)
			wantNoError(t, err)
			wantEqual(t, fmt.Sprintf("%v at %v: noise shrinks", codec, level), result.shrinks, false)
		}
	}
}

func TestEncoderRefusesUnknown(t *testing.T) {
	_, err := newEncoder(Codec(4), LevelFast, PageBytes, deflateEncoder{engine: iaa.Software()})
	wantClass(t, err, ErrOption)
	_, err = newEncoder(CodecZstd, Level(5), PageBytes, deflateEncoder{engine: iaa.Software()})
	wantClass(t, err, ErrOption)
}

// goldenFrames are frames as they may lie in old images: a page of 256
// zeros, 256 ones and so on to 15. They are decoded, never written anew.
var goldenFrames = map[Codec]string{
	CodecDeflate: "e4c00501c0200000b01f77fab725c8f6e17e5cc0455cc2655cc1555cc375dcc04ddcc26ddcc15ddc1b00",
	CodecZstd:    "28b52ffd60000f2d010080000102030405060708090a0b0c0d0e0f105401002b7c3e9fcfe7f3f97c3e9fcfe7f3f901",
	CodecLZ4:     "2f00000100eb1f010100ec1f020100ec1f030100ec1f040100ec1f050100ec1f060100ec1f070100ec1f080100ec1f090100ec1f0a0100ec1f0b0100ec1f0c0100ec1f0d0100ec1f0e0100ec1f0f0100e5700f0f0f0f0f0f0f",
}

func steppedPage() []byte {
	raw := make([]byte, PageBytes)
	for i := range raw {
		raw[i] = byte(i >> 8)
	}
	return raw
}

func TestGoldenFramesDecode(t *testing.T) {
	for codec, text := range goldenFrames {
		packed, err := hex.DecodeString(text)
		wantNoError(t, err)
		got := make([]byte, PageBytes)
		wantNoError(t, decodeAlone(t, codec, got, packed))
		wantBytes(t, codec.String()+" frame", got, steppedPage())
	}
}

// TestDecodersWantTheExactLength checks that a frame which yields more or less
// than its entry says is refused.
func TestDecodersWantTheExactLength(t *testing.T) {
	for codec, text := range goldenFrames {
		packed, err := hex.DecodeString(text)
		wantNoError(t, err)
		for _, lenBytes := range []int{0, 1, PageBytes - 1, PageBytes + 1, 2 * PageBytes} {
			if decodeAlone(t, codec, make([]byte, lenBytes), packed) == nil {
				t.Errorf("%v: a frame of %d bytes was accepted as one of %d", codec, PageBytes, lenBytes)
			}
		}
		for cut := range len(packed) {
			got := make([]byte, PageBytes)
			if decodeAlone(t, codec, got, packed[:cut]) == nil && !bytes.Equal(got, steppedPage()) {
				t.Errorf("%v: a frame cut to %d bytes decoded to other bytes", codec, cut)
			}
		}
	}
	if decodeAlone(t, CodecRaw, make([]byte, PageBytes), make([]byte, PageBytes-1)) == nil {
		t.Error("a short raw frame was accepted")
	}
	if decodeAlone(t, Codec(4), make([]byte, PageBytes), make([]byte, PageBytes)) == nil {
		t.Error("an unknown codec was accepted")
	}
}

// TestZstdBombIsBounded checks that a stream which claims, or yields, far more
// than its frame neither allocates nor writes it.
func TestZstdBombIsBounded(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	wantNoError(t, err)
	bomb := enc.EncodeAll(make([]byte, 8<<20), nil)
	dst := make([]byte, 2*PageBytes)
	for i := range dst {
		dst[i] = 0xa5
	}
	allocated := allocatedBy(func() {
		for range 8 {
			if decodeZstd(dst[:PageBytes:PageBytes], bomb) == nil {
				t.Error("8 MiB were accepted as a page")
			}
		}
	})
	if allocated > 4<<20 {
		t.Errorf("decoding a page allocated %d bytes", allocated)
	}
	wantBytes(t, "memory behind the page", dst[PageBytes:], bytes.Repeat([]byte{0xa5}, PageBytes))
}

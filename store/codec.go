package store

import (
	"context"
	"fmt"
	"hash/crc32"

	"sabrefs/iaa"
)

// Codec is the compression of a frame, as numbered in the frame table.
type Codec uint8

// The codecs of version 1.
const (
	// CodecRaw is a frame that does not shrink, stored as it is.
	CodecRaw Codec = 0
	// CodecDeflate is one raw DEFLATE stream (RFC 1951) with a window of at
	// most 4 KiB, so that the accelerator can decode it.
	CodecDeflate Codec = 1
	// CodecZstd is one zstd frame (RFC 8878) without its own checksum.
	CodecZstd Codec = 2
	// CodecLZ4 is one LZ4 block (no LZ4 frame around it).
	CodecLZ4 Codec = 3

	maxCodec = CodecLZ4
)

var codecNames = [...]string{CodecRaw: "raw", CodecDeflate: "deflate", CodecZstd: "zstd", CodecLZ4: "lz4"}

// String returns the name that the command line uses.
func (c Codec) String() string {
	if c <= maxCodec {
		return codecNames[c]
	}
	return fmt.Sprintf("codec-%d", uint8(c))
}

// ParseCodec returns the codec of a name.
func ParseCodec(name string) (Codec, error) {
	for c, n := range codecNames {
		if n == name {
			return Codec(c), nil
		}
	}
	return 0, fmt.Errorf("%w: codec %q, expected auto, deflate, zstd, lz4 or raw", ErrOption, name)
}

// Level is how much effort compression takes.
type Level int

// The levels, from the fastest to the densest.
const (
	LevelFast Level = iota + 1
	LevelDefault
	LevelBetter
	LevelBest
)

var levelNames = [...]string{LevelFast: "fast", LevelDefault: "default", LevelBetter: "better", LevelBest: "best"}

// String returns the name that the command line uses.
func (l Level) String() string {
	if l >= LevelFast && l <= LevelBest {
		return levelNames[l]
	}
	return fmt.Sprintf("level-%d", int(l))
}

// ParseLevel returns the level of a name.
func ParseLevel(name string) (Level, error) {
	for l, n := range levelNames {
		if n == name && n != "" {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("%w: level %q, expected fast, default, better or best", ErrOption, name)
}

// encoder compresses frames of one codec at one level. It is used by one
// goroutine at a time: each packing worker has its own.
type encoder interface {
	// encode compresses src into dst, which is at least as long.
	encode(dst, src []byte) (encoded, error)
}

// encoded is what an encoder made of a frame.
type encoded struct {
	shrinks     bool // false if it does not become smaller; the rest is then 0
	n           int
	sharedTable uint8 // from 1, of a DEFLATE frame without codes of its own
}

// encodedIn is a frame of n bytes, encoded from rawBytes.
func encodedIn(n, rawBytes int) encoded {
	if n <= 0 || n >= rawBytes {
		return encoded{}
	}
	return encoded{shrinks: true, n: n}
}

// newEncoder returns an encoder for frames of at most maxBytes.
func newEncoder(codec Codec, level Level, maxBytes int, deflate deflateEncoder) (encoder, error) {
	switch codec {
	case CodecRaw:
		return rawEncoder{}, nil
	case CodecDeflate:
		deflate.level = deflateLevels[level]
		return deflate, nil
	case CodecZstd:
		return newZstdEncoder(level, maxBytes)
	case CodecLZ4:
		return newLZ4Encoder(level), nil
	default:
		return nil, fmt.Errorf("%w: codec %v", ErrOption, codec)
	}
}

type rawEncoder struct{}

func (rawEncoder) encode(_, _ []byte) (encoded, error) { return encoded{}, nil }

// decoder decodes frames of every codec. It may be used by any number of
// goroutines at once.
type decoder struct{ engine iaa.Engine }

// decode fills dst, which has exactly the raw size of the frame, from packed, and
// returns the CRC-32 of dst, for the caller to compare. It may use the capacity of
// both beyond their lengths: what lies there in packed may be read, in dst
// overwritten.
func (d decoder) decode(ctx context.Context, codec Codec, table *iaa.Table, dst, packed []byte) (uint32, error) {
	var err error
	switch codec {
	case CodecRaw:
		if len(packed) != len(dst) {
			return 0, fmt.Errorf("raw frame of %d bytes, expected %d", len(packed), len(dst))
		}
		copy(dst, packed)
	case CodecZstd:
		err = decodeZstd(dst, packed)
	case CodecLZ4:
		err = decodeLZ4(dst, packed)
	case CodecDeflate:
		return d.inflate(ctx, dst, packed, table)
	default:
		err = fmt.Errorf("unknown codec %d", codec)
	}
	if err != nil {
		return 0, err
	}
	return crc32.ChecksumIEEE(dst), nil
}

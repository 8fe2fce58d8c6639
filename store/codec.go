package store

import (
	"context"
	"errors"
	"fmt"

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
	// encode compresses src into dst and returns the length, or false if it
	// does not become smaller than len(src). len(dst) >= len(src).
	encode(dst, src []byte) (int, bool, error)
}

// newEncoder returns an encoder for frames of at most maxBytes.
func newEncoder(codec Codec, level Level, maxBytes int, engine iaa.Engine) (encoder, error) {
	switch codec {
	case CodecRaw:
		return rawEncoder{}, nil
	case CodecDeflate:
		return deflateEncoder{engine}, nil
	case CodecZstd:
		return newZstdEncoder(level, maxBytes)
	case CodecLZ4:
		return newLZ4Encoder(level), nil
	default:
		return nil, fmt.Errorf("%w: codec %v", ErrOption, codec)
	}
}

type rawEncoder struct{}

func (rawEncoder) encode(_, _ []byte) (int, bool, error) { return 0, false, nil }

type deflateEncoder struct{ engine iaa.Engine }

func (e deflateEncoder) encode(dst, src []byte) (int, bool, error) {
	job := []iaa.Job{{Src: src, Dst: dst[:len(src)-1]}}
	if err := e.engine.Compress(context.Background(), job); err != nil {
		return 0, false, err
	}
	if errors.Is(job[0].Err, iaa.ErrNoGain) {
		return 0, false, nil
	}
	return job[0].N, job[0].Err == nil, job[0].Err
}

// decoder decodes frames of every codec. It may be used by any number of
// goroutines at once.
type decoder struct{ engine iaa.Engine }

// decode fills dst, which has exactly the raw size of the frame, from packed.
// It does not check the frame's checksum. It may use the capacity of both beyond
// their lengths: what lies there in packed may be read, in dst overwritten.
func (d decoder) decode(ctx context.Context, codec Codec, dst, packed []byte) error {
	switch codec {
	case CodecRaw:
		if len(packed) != len(dst) {
			return fmt.Errorf("raw frame of %d bytes, expected %d", len(packed), len(dst))
		}
		copy(dst, packed)
		return nil
	case CodecDeflate:
		job := []iaa.Job{{Src: packed, Dst: dst}}
		if err := d.engine.Decompress(ctx, job); err != nil {
			return err
		}
		return job[0].Err
	case CodecZstd:
		return decodeZstd(dst, packed)
	case CodecLZ4:
		return decodeLZ4(dst, packed)
	default:
		return fmt.Errorf("unknown codec %d", codec)
	}
}

package densezstd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Level is how much work compression may take.
type Level int

// The levels, from the fastest to the densest.
const (
	// LevelDefault parses lazily over short hash chains.
	LevelDefault Level = iota + 1
	// LevelBetter parses by usual prices over short hash chains, and leaves
	// out what seldom pays.
	LevelBetter
	// LevelBest parses by usual prices and then by its own, over binary trees.
	LevelBest
)

// MaxBytes is the largest frame that an Encoder may be made for.
const MaxBytes = 256 << 10

var (
	// ErrOption is returned by NewEncoder for a level or size that there is
	// not.
	ErrOption = errors.New("densezstd: bad option")
	// ErrSize is returned by Encode for more or less bytes than it takes.
	ErrSize = errors.New("densezstd: bad source size")
)

// Encoder encodes frames, one at a time.
type Encoder struct {
	maxBytes int
	parser   parser
	parsed   parsed
	plan     splitter
	blocks   blockCoder
}

// parser finds the sequences of a frame.
type parser interface {
	// parse fills p with sequences that make up src, but for its last bytes,
	// which are literals.
	parse(p *parsed, src []byte)
}

// parsed is a frame as sequences. Literals are the bytes that no match covers,
// including those after the last sequence.
type parsed struct {
	sequences []sequence
	literals  []byte
}

// NewEncoder returns an encoder for frames of at most maxBytes, which must be
// 1 to MaxBytes.
func NewEncoder(level Level, maxBytes int) (*Encoder, error) {
	if maxBytes < 1 || maxBytes > MaxBytes {
		return nil, fmt.Errorf("%w: frames of %d bytes, expected 1 to %d", ErrOption, maxBytes, MaxBytes)
	}
	e := &Encoder{maxBytes: maxBytes}
	switch level {
	case LevelDefault:
		e.parser = newLazyParser(newChainFinder(maxBytes, 2))
	case LevelBetter:
		e.parser = newOptimalParser(maxBytes, newChainFinder(maxBytes, 6),
			optimalEffort{passes: 1, nice: 32, thrifty: true})
	case LevelBest:
		e.parser = newOptimalParser(maxBytes, newTreeFinder(maxBytes, 16),
			optimalEffort{passes: 2, nice: 64})
	default:
		return nil, fmt.Errorf("%w: level %d", ErrOption, level)
	}
	e.blocks.init()
	return e, nil
}

// Encode appends src to dst as one frame: a single segment with its content
// size, without a checksum. The same src gives the same frame, whatever was
// encoded before.
func (e *Encoder) Encode(dst, src []byte) ([]byte, error) {
	if len(src) < 1 || len(src) > e.maxBytes {
		return dst, fmt.Errorf("%w: %d bytes, expected 1 to %d", ErrSize, len(src), e.maxBytes)
	}
	dst = appendFrameHeader(dst, len(src))
	e.parsed.sequences = e.parsed.sequences[:0]
	e.parser.parse(&e.parsed, src)
	e.parsed.gatherLiterals(src)
	return e.appendBlocks(dst, src), nil
}

func (e *Encoder) appendBlocks(dst, src []byte) []byte {
	e.blocks.startFrame()
	from := cut{}
	cuts := e.plan.split(&e.parsed, len(src))
	for i, to := range cuts {
		dst = e.blocks.append(dst, src[from.src:to.src], e.parsed.literals[from.literal:to.literal],
			e.parsed.sequences[from.sequence:to.sequence], from.litsBefore, i == len(cuts)-1)
		from = to
	}
	return dst
}

// gatherLiterals copies what the matches do not cover.
func (p *parsed) gatherLiterals(src []byte) {
	p.literals = slices.Grow(p.literals[:0], len(src))
	for _, s := range p.sequences {
		p.literals = append(p.literals, src[:s.litLen]...)
		src = src[s.litLen+s.matchLen:]
	}
	p.literals = append(p.literals, src...)
}

// appendFrameHeader writes the magic number and a single-segment header (RFC
// 8878, section 3.1.1.1) with the shortest content size.
func appendFrameHeader(dst []byte, size int) []byte {
	const singleSegment = 1 << 5
	dst = binary.LittleEndian.AppendUint32(dst, 0xFD2FB528)
	switch {
	case size < 256:
		return append(dst, singleSegment, byte(size))
	case size < 1<<16+256:
		return binary.LittleEndian.AppendUint16(append(dst, singleSegment|1<<6), uint16(size-256))
	default:
		return binary.LittleEndian.AppendUint32(append(dst, singleSegment|2<<6), uint32(size))
	}
}

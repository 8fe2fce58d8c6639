package huffman

import (
	"errors"
	"fmt"
)

// The alphabets of DEFLATE, RFC 1951, 3.2.5 to 3.2.7.
const (
	LiteralSymbols  = 286 // literals 0 to 255, end of block, lengths
	DistanceSymbols = 30
	EndOfBlock      = 256
	MaxBits         = 15 // of a literal/length or distance code
)

// ErrLengths is returned for code lengths that no valid block can have.
var ErrLengths = errors.New("invalid code lengths")

// Lengths are the code lengths in bits of both alphabets, 0 for a symbol that
// has no code.
type Lengths struct {
	Literal  [LiteralSymbols]uint8
	Distance [DistanceSymbols]uint8
}

// Check returns an error of the class [ErrLengths] if a block with these code
// lengths is not valid: the end of the block needs a code, and each of the two
// codes must be complete. As in other decoders, a code with a single symbol may
// have one of one bit, and the distances may have none at all.
//
// A symbol may be without a code. Who encodes must not use it.
func (l *Lengths) Check() error {
	if l.Literal[EndOfBlock] == 0 {
		return fmt.Errorf("%w: the end of the block has no code", ErrLengths)
	}
	if err := checkCode(l.Literal[:]); err != nil {
		return fmt.Errorf("literals and lengths: %w", err)
	}
	if err := checkCode(l.Distance[:]); err != nil {
		return fmt.Errorf("distances: %w", err)
	}
	return nil
}

// checkCode computes the Kraft sum in units of the longest possible code.
func checkCode(lengths []uint8) error {
	const whole = 1 << MaxBits
	var sum, symbols, longest int
	for symbol, bits := range lengths {
		if bits == 0 {
			continue
		}
		if bits > MaxBits {
			return fmt.Errorf("%w: symbol %d has a code of %d bits", ErrLengths, symbol, bits)
		}
		sum += whole >> bits
		symbols++
		longest = max(longest, int(bits))
	}
	switch {
	case sum > whole:
		return fmt.Errorf("%w: more codes than their lengths allow", ErrLengths)
	case sum == whole, symbols == 0, symbols == 1 && longest == 1:
		return nil
	}
	return fmt.Errorf("%w: fewer codes than their lengths allow", ErrLengths)
}

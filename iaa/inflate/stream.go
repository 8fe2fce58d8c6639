package inflate

import (
	"encoding/binary"
	"fmt"
)

// stream is the state between blocks. Both buffers include their slack.
type stream struct {
	src    []byte
	srcLen int
	dst    []byte
	dstLen int

	in  int    // the next byte of src to load
	out int    // bytes of dst that are decoded
	buf uint64 // bits that are loaded, the next one the least significant
	// left is how many of them count, in its lower 6 bits; above, buf may hold
	// more bits of the input, which the next refill loads again.
	left uint32
}

// refill makes at least 56 bits available. It may run past srcLen, within the
// slack: whoever loops must ask overrun.
func (s *stream) refill() {
	s.buf |= binary.LittleEndian.Uint64(s.src[s.in:]) << (s.left & 63)
	s.in += int(7 - s.left>>3&7)
	s.left |= 56
}

// take consumes n bits, at most what the last refill left.
func (s *stream) take(n uint32) uint64 {
	bits := s.buf & (1<<(n&63) - 1)
	s.buf >>= n & 63
	s.left -= n
	return bits
}

// consumedBits is how many bits of the input were taken.
func (s *stream) consumedBits() int { return s.in*8 - int(s.left&63) }

// overrun reports whether more was consumed than there is.
func (s *stream) overrun() bool { return s.consumedBits() > s.srcLen*8 }

func (s *stream) truncated() error {
	return fmt.Errorf("%w: truncated after %d bytes", ErrStream, s.srcLen)
}

// invalid says that the input is wrong here; if it ended before, then that.
func (s *stream) invalid(what string) error {
	if s.overrun() {
		return s.truncated()
	}
	return fmt.Errorf("%w: %s, at byte %d", ErrStream, what, s.consumedBits()/8)
}

func (s *stream) tooLong() error {
	if s.overrun() {
		return s.truncated()
	}
	return fmt.Errorf("%w: more than %d bytes", ErrLength, s.dstLen)
}

// checkEnd proves that the stream ended with its last byte, and with the last
// byte of the destination.
func (s *stream) checkEnd() error {
	switch {
	case s.overrun():
		return s.truncated()
	case s.out < s.dstLen:
		return fmt.Errorf("%w: %d bytes, expected %d", ErrLength, s.out, s.dstLen)
	case s.out > s.dstLen:
		return s.tooLong()
	case (s.consumedBits()+7)/8 < s.srcLen:
		return fmt.Errorf("%w: %d bytes behind its end", ErrStream, s.srcLen-(s.consumedBits()+7)/8)
	}
	return nil
}

// stored copies a block without compression, RFC 1951, 3.2.4.
func (s *stream) stored() error {
	in := (s.consumedBits() + 7) / 8
	if in+4 > s.srcLen {
		return s.truncated()
	}
	n := int(binary.LittleEndian.Uint16(s.src[in:]))
	if n^0xffff != int(binary.LittleEndian.Uint16(s.src[in+2:])) {
		return s.invalid("stored block whose length is not confirmed")
	}
	in += 4
	switch {
	case in+n > s.srcLen:
		return s.truncated()
	case n > s.dstLen-s.out:
		return s.tooLong()
	}
	s.out += copy(s.dst[s.out:], s.src[in:in+n])
	s.in, s.buf, s.left = in+n, 0, 0
	return nil
}

// outcome is the error, if any, with which a run ends a block.
func (s *stream) outcome(t *Table, result runResult) error {
	switch result {
	case runExceptional:
		if s.takeEnd(t) {
			return nil
		}
	case runLimit:
		if s.out <= s.dstLen {
			return s.truncated()
		}
		return s.tooLong()
	case runTooLong:
		return s.tooLong()
	case runTooFar:
		return s.invalid("distance reaches before the start")
	case runBadCode:
	}
	return s.invalid("code that stands for nothing")
}

// takeEnd consumes the end of the block, if that is the next symbol.
func (s *stream) takeEnd(t *Table) bool {
	entry := t.literal[s.buf&literalMask]
	if entry&literalSubtable != 0 {
		s.take(literalBits)
		index := entry>>valueShift&subtableMask + uint32(s.buf)&(2<<(entry>>literalSubShift&literalSubMask)-1)
		entry = t.literal[index]
	}
	s.take(entry >> consumeShift & 63)
	return entry&literalEnd != 0
}

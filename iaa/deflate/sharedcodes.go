package deflate

import (
	"fmt"
	"slices"

	"sabrefs/iaa/huffman"
)

// Shared is a pair of prefix codes that many streams share, prepared for writing
// streams without headers. It never changes.
type Shared struct {
	lengths  huffman.Lengths
	words    words
	complete bool // every symbol that a frame can need has a code
}

// NewShared prepares a pair of codes. The error is of the class
// [huffman.ErrLengths].
func NewShared(lengths *huffman.Lengths) (*Shared, error) {
	if err := lengths.Check(); err != nil {
		return nil, fmt.Errorf("preparing shared codes: %w", err)
	}
	s := &Shared{lengths: *lengths}
	s.words.set(lengths)
	s.complete = !slices.Contains(lengths.Literal[:], 0) && !slices.Contains(lengths.Distance[:distanceSymbols], 0)
	return s, nil
}

// OwnHeader is what [Encoder.EncodeBest] returns in place of the number of shared
// codes for a stream that has a header.
const OwnHeader = -1

// ownGainPercent is how much smaller a stream with a header must be than one with
// shared codes to be preferred. Without building tables it is decoded a third
// faster, at the sizes of frames for which codes are shared.
const ownGainPercent = 5

// EncodeShared writes src into dst as a stream without a header: its symbols and
// the end of the block in the shared codes, padded to a whole byte. It returns the
// length in bytes, or ok=false if dst is too short or a symbol has no code; dst
// may then have been written to.
func (e *Encoder) EncodeShared(dst, src []byte, level int, shared *Shared) (n int, ok bool) {
	params := paramsOf(level)
	var w huffman.BitWriter
	w.Reset(dst)
	e.sizeBits = 0
	for history := false; ; history = true {
		frame := src[:min(len(src), frameBytes)]
		src = src[len(frame):]
		e.load(frame, history, params)
		if params.parser == parserOptimal {
			e.collectPieces(shared, params)
		} else {
			e.parsePieces(params)
		}
		if len(src) > 0 {
			e.total.literal[huffman.EndOfBlock] = 0 // comes later
		}
		e.sizeBits += e.total.bitsIn(shared)
		if e.sizeBits > 8*len(dst) || !e.total.codedIn(shared) {
			return 0, false
		}
		shared.words.write(&w, e.tokens)
		if len(src) == 0 {
			shared.words.writeEnd(&w)
			return w.Close()
		}
	}
}

// EncodeBest writes src into dst as a stream without a header, in those of the
// shared codes in which it is shortest, or as a complete one if that is smaller
// by more than 5 %. It returns the length in bytes and the number of the codes or
// [OwnHeader], or ok=false if dst is too short for both; dst may then have been
// written to. Inputs of more than 256 KiB always have a header.
//
// The input is parsed once for all codes; from level 6 on, once more for the
// best ones.
func (e *Encoder) EncodeBest(dst, src []byte, level int, shared []*Shared) (n, which int, ok bool) {
	if len(src) > frameBytes || len(shared) == 0 {
		n, ok = e.Encode(dst, src, level)
		return n, OwnHeader, ok
	}
	params := paramsOf(level)
	e.sizeBits = 0
	e.load(src, false, params)
	e.parse(params)
	ownBytes := (e.sizeBits + 7) / 8
	which, tokens, sharedBytes := e.tryShared(shared, params)
	var w huffman.BitWriter
	w.Reset(dst)
	ownIsBetter := 100*ownBytes < (100-ownGainPercent)*sharedBytes
	switch {
	case which != OwnHeader && !ownIsBetter && sharedBytes <= len(dst):
		shared[which].words.write(&w, tokens)
		shared[which].words.writeEnd(&w)
	case ownBytes <= len(dst):
		which = OwnHeader
		e.write(&w, true)
	default:
		return 0, OwnHeader, false
	}
	n, ok = w.Close()
	return n, which, ok
}

// tryShared returns, after parse, the number of the best shared codes, the tokens
// for them and their size.
func (e *Encoder) tryShared(shared []*Shared, params *params) (which int, tokens []token, sizeBytes int) {
	which, bits := e.total.best(shared)
	tokens = e.tokens
	if which != OwnHeader && params.parser == parserOptimal {
		bits = e.parseShared(shared[which], params)
		tokens = e.shared
	}
	return which, tokens, (bits + 7) / 8
}

// best returns the number of the shared codes in which the symbols are shortest,
// and how many bits they have there, or OwnHeader if none have all of them.
func (h *histogram) best(shared []*Shared) (best, least int) {
	h.literal[huffman.EndOfBlock] = 1 // however many blocks there were
	best, least = OwnHeader, int(^uint(0)>>1)
	for i, s := range shared {
		if size := h.codeBits(&s.lengths); size < least && h.codedIn(s) {
			best, least = i, size
		}
	}
	if best == OwnHeader {
		return best, 0
	}
	return best, least + h.extraBits()
}

// codedIn tells whether all symbols that occur have a code.
func (h *histogram) codedIn(shared *Shared) bool {
	return shared.complete || h.codedBy(&shared.lengths)
}

// bitsIn is the size of the symbols in shared codes.
func (h *histogram) bitsIn(shared *Shared) int {
	return h.codeBits(&shared.lengths) + h.extraBits()
}

// parsePieces makes tokens without blocks, and counts them in total.
func (e *Encoder) parsePieces(params *params) {
	for from := inputStart; from < e.window.end; from += pieceBytes {
		e.parseOnce(from, min(e.window.end, from+pieceBytes), params)
		e.total.merge(&e.histogram)
	}
	e.total.literal[huffman.EndOfBlock] = 1
}

// collectPieces makes tokens that are optimal in shared codes, and counts them
// in total.
func (e *Encoder) collectPieces(shared *Shared, params *params) {
	o := e.optimizer
	for from := inputStart; from < e.window.end; from += pieceBytes {
		to := min(e.window.end, from+pieceBytes)
		o.candidates.collect(e.chains, &e.window, from, to, params)
		e.walkShared(shared, from, to)
		e.tokens = append(e.tokens, o.tokens...)
		e.total.merge(&o.histogram)
	}
	e.total.literal[huffman.EndOfBlock] = 1
}

func (e *Encoder) walkShared(shared *Shared, from, to int) {
	o := e.optimizer
	o.costs.setLengths(&shared.lengths, noCode)
	o.walk(e.window.buf[from:to], 0)
	o.follow(e.window.buf[from:to], 0)
}

// parseShared makes, after parse, tokens in e.shared that are optimal in a shared
// code, and returns their size in bits.
func (e *Encoder) parseShared(shared *Shared, params *params) int {
	if e.window.end-inputStart <= pieceBytes {
		// The candidates are still there.
		e.walkShared(shared, inputStart, e.window.end)
		e.shared = append(e.shared[:0], e.optimizer.tokens...)
		return e.optimizer.histogram.bitsIn(shared)
	}
	// The match finder knows the whole input already, as if it were later.
	e.remember(false)
	own := e.tokens
	e.tokens, e.total = e.shared[:0], histogram{}
	e.collectPieces(shared, params)
	e.shared, e.tokens = e.tokens, own
	return e.total.bitsIn(shared)
}

package deflate

import "sabrefs/iaa/huffman"

// pieceBytes is how much input is parsed as a whole. What the optimal parser
// remembers is for one piece, and a piece has at least one block.
const pieceBytes = 64 << 10

// Encoder compresses one input after the other. Most of its memory is allocated
// when a level first needs it; then an input needs none, unless it is larger
// than those before.
type Encoder struct {
	window    window
	fast      *fastFinder  // for level 1
	chains    *chainFinder // for the others
	optimizer *optimizer   // from level 6 on
	splitter  splitter

	tokens    []token
	blocks    []block
	sizeBits  int       // of the stream up to the end of blocks
	histogram histogram // of the last block

	builder  huffman.Builder
	header   huffman.Header
	trial    huffman.Lengths
	smoothed histogram
	words    words

	total  histogram // of all blocks since load
	shared []token   // for a shared code
}

// NewEncoder returns an encoder.
func NewEncoder() *Encoder { return &Encoder{} }

// Encode writes src as one complete stream into dst and returns its length in
// bytes, or ok=false if dst is too short; dst may then have been written to.
func (e *Encoder) Encode(dst, src []byte, level int) (n int, ok bool) {
	params := paramsOf(level)
	var w huffman.BitWriter
	w.Reset(dst)
	e.sizeBits = 0
	for history := false; ; history = true {
		frame := src[:min(len(src), frameBytes)]
		src = src[len(frame):]
		e.load(frame, history, params)
		e.parse(params)
		if e.sizeBits > 8*len(dst) {
			return 0, false
		}
		e.write(&w, len(src) == 0)
		if len(src) == 0 {
			return w.Close()
		}
	}
}

// load takes a frame, or a part of one, as the input.
func (e *Encoder) load(frame []byte, history bool, params *params) {
	e.prepare(params)
	e.window.load(frame, history)
	e.remember(history)
	if cap(e.tokens) < len(frame) {
		e.tokens = make([]token, 0, len(frame))
	}
	e.tokens = e.tokens[:0]
	e.blocks = e.blocks[:0]
	e.total = histogram{}
}

// prepare allocates what the level needs.
func (e *Encoder) prepare(params *params) {
	switch {
	case params.parser == parserFast && e.fast == nil:
		e.fast = new(fastFinder)
	case params.parser != parserFast && e.chains == nil:
		e.chains = new(chainFinder)
	}
	if params.parser == parserOptimal && e.optimizer == nil {
		e.optimizer = new(optimizer)
	}
}

// remember lets the match finders keep what they know, or makes them forget it.
func (e *Encoder) remember(history bool) {
	if e.window.advance(history) {
		return
	}
	if e.fast != nil {
		*e.fast = fastFinder{}
	}
	if e.chains != nil {
		*e.chains = chainFinder{}
	}
}

// parse makes tokens and blocks of the input.
func (e *Encoder) parse(params *params) {
	for from := inputStart; ; {
		to := min(e.window.end, from+pieceBytes)
		if params.parser == parserOptimal {
			e.parseOptimal(from, to, params)
		} else {
			b := e.beginBlock(from, to)
			e.parseOnce(from, to, params)
			e.endBlock(b, params)
		}
		if to == e.window.end {
			return
		}
		from = to
	}
}

// parseOnce makes tokens of a piece, without regard to codes.
func (e *Encoder) parseOnce(from, to int, params *params) {
	e.histogram.begin()
	if params.parser == parserFast {
		e.parseFast(from, to)
	} else {
		e.parseLazy(from, to, params)
	}
}

// write writes all blocks. There is room for them.
func (e *Encoder) write(w *huffman.BitWriter, final bool) {
	for i := range e.blocks {
		e.writeBlock(w, &e.blocks[i], final && i == len(e.blocks)-1)
	}
}

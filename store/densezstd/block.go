package densezstd

import (
	"encoding/binary"
	"slices"
)

// The types of a block (RFC 8878, section 3.1.1.2.2).
const (
	blockRaw        = 0
	blockRLE        = 1
	blockCompressed = 2
)

const (
	blockHeaderBytes = 3
	// maxBlockBytes is Block_Maximum_Size (section 3.1.1.2.3), before and
	// after compression.
	maxBlockBytes = 128 << 10
)

// blockCoder writes the blocks of one frame after the other. What a block may
// reuse of those before it is only known to the decoder if they were written
// compressed, so every part has a commit.
type blockCoder struct {
	literals     literalCoder
	litTable     tableChooser
	offsetTable  tableChooser
	matchTable   tableChooser
	repeats      repeats
	coded        []codedSeq
	body         []byte
	literalCount [256]uint32
	counts       codeCounts
}

// codeCounts are the histograms of the three kinds of code.
type codeCounts struct {
	lit    [maxLitCode + 1]uint32
	match  [maxMatchCode + 1]uint32
	offset [maxOffsetCode + 1]uint32
}

func (b *blockCoder) init() {
	b.literals = newLiteralCoder()
	b.litTable.kind, b.offsetTable.kind, b.matchTable.kind = litKind, offsetKind, matchKind
}

// startFrame forgets everything that a block of another frame could repeat.
func (b *blockCoder) startFrame() {
	b.repeats = firstRepeats
	b.literals.repeatable = false
	b.litTable.repeatable = false
	b.offsetTable.repeatable = false
	b.matchTable.repeatable = false
}

// append writes src as one block: compressed if that is shorter than raw.
func (b *blockCoder) append(dst, src, literals []byte, sequences []sequence, litsBefore uint32, last bool) []byte {
	if isRun(src) {
		dst = appendBlockHeader(dst, blockRLE, len(src), last)
		return append(dst, src[0])
	}
	after := b.code(sequences, litsBefore)
	b.fill(literals)
	if len(b.body) >= len(src) {
		dst = appendBlockHeader(dst, blockRaw, len(src), last)
		return append(dst, src...)
	}
	b.commit(after, len(sequences) > 0)
	dst = appendBlockHeader(dst, blockCompressed, len(b.body), last)
	return append(dst, b.body...)
}

func (b *blockCoder) commit(after repeats, tables bool) {
	b.literals.commit()
	b.repeats = after
	if tables {
		b.litTable.commit()
		b.offsetTable.commit()
		b.matchTable.commit()
	}
}

func appendBlockHeader(dst []byte, kind, size int, last bool) []byte {
	head := kind<<1 | size<<3
	if last {
		head |= 1
	}
	return append(dst, byte(head), byte(head>>8), byte(head>>16))
}

// isRun reports whether all bytes are the same.
func isRun(src []byte) bool {
	if src[0] != src[len(src)-1] || src[0] != src[len(src)/2] {
		return false
	}
	for i := 1; i < len(src); i++ {
		if src[i] != src[0] {
			return false
		}
	}
	return true
}

// code fills b.coded and b.counts. litsBefore is how many of the first
// sequence's literals belong to the block before.
func (b *blockCoder) code(sequences []sequence, litsBefore uint32) repeats {
	r := b.repeats
	b.coded = slices.Grow(b.coded[:0], len(sequences))[:len(sequences)]
	b.counts = codeCounts{}
	for i, s := range sequences {
		s.litLen -= litsBefore
		litsBefore = 0
		c := codedSeq{litLen: s.litLen, matchBase: s.matchLen - minMatchFormat}
		c.offsetValue = r.value(s.offset, s.litLen)
		r.use(s.offset, c.offsetValue, s.litLen)
		c.litCode, c.matchCode, c.offC = litCode(c.litLen), matchCode(c.matchBase), offsetCode(c.offsetValue)
		b.counts.lit[c.litCode]++
		b.counts.match[c.matchCode]++
		b.counts.offset[c.offC]++
		b.coded[i] = c
	}
	return r
}

// fill makes b.body of the literals and of what code left.
func (b *blockCoder) fill(literals []byte) {
	b.literalCount = [256]uint32{}
	countBytes(&b.literalCount, literals)
	b.body = b.literals.append(b.body[:0], literals, &b.literalCount)
	b.body = appendSequenceCount(b.body, len(b.coded))
	if len(b.coded) == 0 {
		return
	}
	const maxTables = 256 // more than three descriptions take
	// A sequence has at most 26 bits of states and 16+16+19 extra ones.
	room := maxTables + 10*len(b.coded) + 8*bitRoom
	out := slices.Grow(b.body, room)
	pos := len(out)
	out = out[:pos+room]
	end := b.litTable.choose(b.counts.lit[:], uint32(len(b.coded)), out, pos+1)
	end = b.offsetTable.choose(b.counts.offset[:], uint32(len(b.coded)), out, end)
	end = b.matchTable.choose(b.counts.match[:], uint32(len(b.coded)), out, end)
	out[pos] = b.litTable.mode<<6 | b.offsetTable.mode<<4 | b.matchTable.mode<<2
	b.body = b.appendSequences(out, end)
}

func countBytes(counts *[256]uint32, p []byte) {
	// Two histograms let a byte that follows itself be counted without
	// waiting for the count before.
	var odd [256]uint32
	for ; len(p) >= 2; p = p[2:] {
		counts[p[0]]++
		odd[p[1]]++
	}
	if len(p) > 0 {
		counts[p[0]]++
	}
	for i, n := range odd {
		counts[i] += n
	}
}

// appendSequenceCount writes Number_of_Sequences (section 3.1.1.3.2.1).
func appendSequenceCount(dst []byte, n int) []byte {
	const long = 0x7F00
	switch {
	case n < 128:
		return append(dst, byte(n))
	case n < long:
		return append(dst, byte(n>>8)+128, byte(n))
	default:
		return binary.LittleEndian.AppendUint16(append(dst, 255), uint16(n-long))
	}
}

// appendSequences writes the bitstream of section 3.1.1.3.2.1.2, the last
// sequence first, as the decoder reads it from its end.
func (b *blockCoder) appendSequences(out []byte, pos int) []byte {
	w := bitWriter{out: out, pos: pos}
	lit, offset, match := b.litTable.table(), b.offsetTable.table(), b.matchTable.table()
	last := b.coded[len(b.coded)-1]
	litState, offsetState, matchState := lit.start(last.litCode), offset.start(last.offC), match.start(last.matchCode)
	w.addExtra(&last)
	for i := len(b.coded) - 2; i >= 0; i-- {
		s := &b.coded[i]
		offsetState = w.addState(offset, offsetState, s.offC)
		matchState = w.addState(match, matchState, s.matchCode)
		litState = w.addState(lit, litState, s.litCode)
		w.addExtra(s)
	}
	w.add(uint64(matchState)&(1<<match.log-1), uint(match.log))
	w.add(uint64(offsetState)&(1<<offset.log-1), uint(offset.log))
	w.add(uint64(litState)&(1<<lit.log-1), uint(lit.log))
	return w.closeMarked()
}

// addState moves state to where it was before symbol.
func (w *bitWriter) addState(t *encodingTable, state uint32, symbol uint8) uint32 {
	tr := t.symbol[symbol]
	wide := (state + tr.deltaBits) >> 16
	w.add(uint64(state)&(1<<(wide&63)-1), uint(wide))
	return uint32(t.next[(int32(state>>(wide&31))+tr.deltaState)&(1<<maxTableLog-1)])
}

// addExtra writes the bits below the codes, after at most 26 bits of states.
func (w *bitWriter) addExtra(s *codedSeq) {
	litBits, matchBits := litExtra[s.litCode], matchExtra[s.matchCode]
	w.add(uint64(s.litLen)&(1<<(litBits&63)-1), uint(litBits))
	w.flush()
	w.add(uint64(s.matchBase)&(1<<(matchBits&63)-1), uint(matchBits))
	w.add(uint64(s.offsetValue)&(1<<(s.offC&63)-1), uint(s.offC))
	w.flush()
}

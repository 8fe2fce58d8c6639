package densezstd

import (
	"math/bits"
)

// An FSE table compresses symbols to fractions of a bit (RFC 8878, section
// 4.1). It is made from counts in three steps: normalize shares the 2^log
// states among the symbols, appendDescription tells the decoder, and build
// derives the transitions.

const (
	minTableLog = 5
	maxTableLog = 9
	maxSymbols  = maxMatchCode + 1
)

// distribution is how many of the 2^log states each symbol has; -1 is a
// symbol of "less than one", which has one state from which the decoder reads
// a whole new one.
type distribution struct {
	log    uint8
	states [maxSymbols]int16
	used   int // symbols from here on have no state
}

// normalize sets d for counts, of which two at least are not zero.
func (d *distribution) normalize(counts []uint32, total uint32, log uint8) {
	*d = distribution{log: log}
	left := int32(1) << log
	for symbol, n := range counts {
		if n == 0 {
			continue
		}
		d.used = symbol + 1
		d.states[symbol] = share(n, total, log)
		left -= int32(max(d.states[symbol], 1))
	}
	for ; left > 0; left-- {
		d.states[d.mostDeserving(counts)]++
	}
	for ; left < 0; left++ {
		d.states[d.leastHurt(counts)]--
	}
}

// share returns the rounded share of n of total, at least the least there is.
func share(n, total uint32, log uint8) int16 {
	scaled := uint64(n) << log
	if scaled <= uint64(total) {
		return -1
	}
	return int16((scaled + uint64(total)/2) / uint64(total))
}

// mostDeserving returns the symbol for which one more state saves most.
func (d *distribution) mostDeserving(counts []uint32) (best int) {
	bestGain := uint64(0)
	for symbol, states := range d.states[:d.used] {
		if states < 1 {
			continue
		}
		gain := uint64(counts[symbol]) * uint64(log2(uint32(states)+1)-log2(uint32(states)))
		if gain > bestGain {
			best, bestGain = symbol, gain
		}
	}
	return best
}

// leastHurt returns the symbol for which one state less costs least.
func (d *distribution) leastHurt(counts []uint32) (best int) {
	bestLoss := ^uint64(0)
	for symbol, states := range d.states[:d.used] {
		if states < 2 {
			continue
		}
		loss := uint64(counts[symbol]) * uint64(log2(uint32(states))-log2(uint32(states)-1))
		if loss < bestLoss {
			best, bestLoss = symbol, loss
		}
	}
	return best
}

// cost returns what symbols with these counts cost with d, or false if d
// cannot express one of them.
func (d *distribution) cost(counts []uint32) (uint64, bool) {
	sum := uint64(0)
	for symbol, n := range counts {
		if n == 0 {
			continue
		}
		if d.states[symbol] == 0 {
			return 0, false
		}
		sum += uint64(n) * uint64(uint32(d.log)<<16-log2(uint32(max(d.states[symbol], 1))))
	}
	return sum >> 8, true
}

// appendDescription writes d as section 4.1.1 says. out must have room for
// it and bitRoom.
func (d *distribution) appendDescription(out []byte, pos int) int {
	w := bitWriter{out: out, pos: pos}
	w.add(uint64(d.log-minTableLog), 4)
	left := uint32(1) << d.log // states not yet described
	for symbol := 0; symbol < d.used; symbol++ {
		states := d.states[symbol]
		w.addShare(uint32(states+1), left+1)
		left -= uint32(max(states, -states))
		if states == 0 {
			symbol = w.addZeros(d.states[:d.used], symbol)
		}
		w.flush()
	}
	return len(w.closePadded())
}

// addShare writes a value of 0..top. As there are not quite a power of two of
// them, the smallest are one bit shorter.
func (w *bitWriter) addShare(value, top uint32) {
	width := uint(bits.Len32(top))
	short := uint32(1)<<width - 1 - top // values of one bit less
	switch {
	case value < short:
		w.add(uint64(value), width-1)
	case value < 1<<(width-1):
		w.add(uint64(value), width)
	default:
		w.add(uint64(value+short), width)
	}
}

// addZeros writes how many symbols without a state follow the one at symbol,
// in digits of two bits of which 3 means that more follow, and returns the
// last of them.
func (w *bitWriter) addZeros(states []int16, symbol int) int {
	run := 0
	for states[symbol+1+run] == 0 {
		run++
	}
	for left := run; ; left -= 3 {
		w.add(uint64(min(left, 3)), 2)
		w.flush()
		if left < 3 {
			return symbol + run
		}
	}
}

// encodingTable holds the transitions of a distribution. Encoding goes
// backwards from the last symbol, so it maps the state after a symbol to the
// state before it, and to the bits that the decoder will read between them.
type encodingTable struct {
	log    uint8
	next   [1 << maxTableLog]uint16
	symbol [maxSymbols]transition
}

// transition says how a symbol changes the state: (state+deltaBits)>>16 of its
// low bits go to the stream, and next[state>>bits+deltaState] is the new one.
type transition struct {
	deltaBits  uint32
	deltaState int32
}

// build makes the transitions of d.
func (t *encodingTable) build(d *distribution) {
	t.log = d.log
	var first [maxSymbols]uint16 // where the next state of a symbol goes in t.next
	total := int32(0)
	for symbol, states := range d.states[:d.used] {
		first[symbol] = uint16(total)
		n := int32(max(states, -states))
		t.symbol[symbol] = newTransition(n, total, d.log)
		total += n
	}
	var spread [1 << maxTableLog]uint8
	size := d.spread(&spread)
	for state, symbol := range spread[:size] {
		t.next[first[symbol]] = uint16(size + state)
		first[symbol]++
	}
}

// newTransition is for a symbol with n states, which follow the first total
// ones in the table.
func newTransition(n, total int32, log uint8) transition {
	if n == 0 {
		return transition{}
	}
	wide := uint32(log) - uint32(bits.Len32(uint32(n-1)))
	if n == 1 {
		wide = uint32(log)
	} else {
		wide++
	}
	return transition{deltaBits: wide<<16 - uint32(n)<<wide, deltaState: total - n}
}

// spread assigns a symbol to every state (section 4.1.1) and returns how many
// states there are.
func (d *distribution) spread(symbols *[1 << maxTableLog]uint8) int {
	size := 1 << d.log
	top := size // symbols of "less than one" fill the end
	for symbol, states := range d.states[:d.used] {
		if states == -1 {
			top--
			symbols[top] = uint8(symbol)
		}
	}
	at, step := 0, size>>1+size>>3+3
	for symbol, states := range d.states[:d.used] {
		for range states {
			symbols[at] = uint8(symbol)
			at = (at + step) & (size - 1)
			for at >= top {
				at = (at + step) & (size - 1)
			}
		}
	}
	return size
}

// start returns the state in which encoding starts with its first symbol: any
// of the symbol's would do, this one may save a bit.
func (t *encodingTable) start(symbol uint8) uint32 {
	tr := t.symbol[symbol]
	wide := (tr.deltaBits + 1<<15) >> 16
	value := wide<<16 - tr.deltaBits
	return uint32(t.next[int32(value>>wide)+tr.deltaState])
}

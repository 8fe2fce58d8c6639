package deflate

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

const (
	// frameBytes is how much input is parsed into tokens before any is written.
	// Longer input is coded piece by piece into one stream, with matches into
	// the piece before.
	frameBytes = 256 << 10

	// slackBytes behind the input can be read: a comparison that begins inside
	// goes on, eight bytes at a time, for a longest match.
	slackBytes = maxMatch + 8

	// lastPosition is after which positions begin anew.
	lastPosition = 1 << 30
)

// window is a copy of the input with what lies before it. The copy has readable
// bytes behind its end, so that comparing needs no checks, and it does not
// change while it is compressed, whatever the owner of the input does.
//
// A byte has an index in buf and a position, which is base plus the index.
// Positions only grow from one input to the next, and those that do not belong
// together are at least maxDistance+1 apart. So match finders remember positions
// and need not be cleared: all that they know of earlier inputs is too far away.
type window struct {
	buf    []byte
	end    int    // of the input, which begins at inputStart
	passed int    // bytes that load dropped from the beginning of buf
	base   uint32 // position of buf[0], at least 1
}

// inputStart is the index of the first byte of the input. Before it is history,
// or what may be read and is never used.
const inputStart = maxDistance

// load replaces the input. With history, the end of the old input stays before
// the new one. advance must follow.
func (w *window) load(src []byte, history bool) {
	w.passed = w.end
	w.reserve(len(src))
	if history {
		w.passed -= inputStart
		copy(w.buf[:inputStart], w.buf[w.passed:])
	}
	copy(w.buf[inputStart:], src)
	w.end = inputStart + len(src)
	clear(w.buf[w.end : w.end+slackBytes])
}

// advance moves the positions on, with history by what load dropped, otherwise
// beyond all that were used. It returns false if they begin anew: match finders
// must then forget those they have.
func (w *window) advance(history bool) (continues bool) {
	if w.base > lastPosition {
		w.base = 1
		return false
	}
	if history {
		w.base += uint32(w.passed)
	} else {
		w.base += uint32(w.passed+w.end) + 1
	}
	return true
}

// reserve makes buf large enough for history and so many bytes of input.
func (w *window) reserve(srcBytes int) {
	need := inputStart + srcBytes + slackBytes
	if len(w.buf) >= need {
		return
	}
	grown := make([]byte, need)
	copy(grown, w.buf)
	w.buf = grown
}

// pointer returns the address of the byte with index 0, for the functions below.
//
// All comparisons go through them. Slices would check each index, which cost
// about a tenth of the speed of level 5. What makes checks superfluous: an index
// is between 0 and end, since the distance to a candidate was compared with
// maxDistance, and as much lies before the input; and what is added to it is less
// than slackBytes.
func (w *window) pointer() unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(w.buf)) //nolint:gosec // see above
}

func load8(p unsafe.Pointer, i int) byte { return *(*byte)(unsafe.Add(p, i)) }

func load32(p unsafe.Pointer, i int) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(p, i))[:])
}

func load64(p unsafe.Pointer, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, i))[:])
}

// matchLength is how many bytes at i equal those at j, of which the first four are
// known to. The comparison ends at limit or up to seven bytes behind it.
func matchLength(p unsafe.Pointer, i, j, limit int) int {
	n := 4
	for n < limit {
		if diff := load64(p, i+n) ^ load64(p, j+n); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
		n += 8
	}
	return n
}

package densezstd

import "encoding/binary"

// bitWriter writes the bitstream of RFC 8878, section 4.1: bits fill bytes
// from the lowest up, and the reader starts at the last byte, so what is
// written last is read first.
type bitWriter struct {
	out  []byte // complete bytes are out[:pos]; the rest is room
	pos  int
	acc  uint64
	bits uint // held in acc; below 8 after flush
}

// bitRoom is how much out must have beyond the bytes that will count, because
// flush stores eight bytes at a time.
const bitRoom = 8

// add appends the lowest n bits of v. The other bits of v must be zero, and at
// most 56 bits may be added between two flushes.
func (w *bitWriter) add(v uint64, n uint) {
	w.acc |= v << (w.bits & 63)
	w.bits += n
}

// flush moves complete bytes from the accumulator to the output.
func (w *bitWriter) flush() {
	binary.LittleEndian.PutUint64(w.out[w.pos:], w.acc)
	w.pos += int(w.bits >> 3)
	w.acc >>= w.bits &^ 7 & 63
	w.bits &= 7
}

// closeMarked ends a stream that is read backwards: a single set bit marks
// where it begins (section 4.1).
func (w *bitWriter) closeMarked() []byte {
	w.add(1, 1)
	return w.closePadded()
}

// closePadded fills the last byte with zero bits.
func (w *bitWriter) closePadded() []byte {
	w.flush()
	if w.bits > 0 {
		w.pos++ // flush has stored it
	}
	return w.out[:w.pos]
}

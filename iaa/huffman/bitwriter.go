package huffman

import "encoding/binary"

// maxWriteBits is how many bits one Write may have: the accumulator has 64, and
// up to 7 may be waiting in it.
const maxWriteBits = 57

// BitWriter writes bits into a buffer of fixed size, the first into the least
// significant bit of the first byte, as RFC 1951, 3.1.1 demands. What does not
// fit is dropped and remembered. The zero value has a buffer of no bytes.
type BitWriter struct {
	buf  []byte
	pos  int    // bytes written to buf
	bits uint64 // not yet written, the next in the least significant bit
	n    uint   // how many those are, at most 7 between calls
	full bool
}

// Reset makes the writer begin at the start of buf.
func (w *BitWriter) Reset(buf []byte) { *w = BitWriter{buf: buf} }

// Write writes the n least significant bits of value, at most 57. All others
// must be zero.
func (w *BitWriter) Write(value uint64, n uint) {
	w.bits |= value << w.n
	w.n += n
	if len(w.buf)-w.pos < 8 {
		w.flushSlowly()
		return
	}
	binary.LittleEndian.PutUint64(w.buf[w.pos:], w.bits)
	w.pos += int(w.n / 8)
	w.bits >>= w.n &^ 7
	w.n &= 7
}

// flushSlowly writes whole bytes near the end of the buffer.
func (w *BitWriter) flushSlowly() {
	for ; w.n >= 8; w.n -= 8 {
		if w.pos == len(w.buf) {
			w.full = true
		} else {
			w.buf[w.pos] = byte(w.bits)
			w.pos++
		}
		w.bits >>= 8
	}
}

// Align writes zero bits up to the next byte.
func (w *BitWriter) Align() {
	if w.n > 0 {
		w.Write(0, 8-w.n)
	}
}

// Bytes writes whole bytes. It must follow Align.
func (w *BitWriter) Bytes(p []byte) {
	if copy(w.buf[w.pos:], p) < len(p) {
		w.full = true
		return
	}
	w.pos += len(p)
}

// Rest returns what is left of the buffer, and the bits that are waiting to be
// written there, at most 7. It lets a caller with very many short codes write
// them himself; he must then call Advance.
func (w *BitWriter) Rest() (rest []byte, waiting uint64, n uint) {
	return w.buf[w.pos:], w.bits, w.n
}

// Advance accounts for what the caller has written at the beginning of Rest:
// lenBytes bytes, after which n bits are waiting, at most 7.
func (w *BitWriter) Advance(lenBytes int, waiting uint64, n uint) {
	w.pos += lenBytes
	w.bits, w.n = waiting, n
}

// Len is the number of bytes that what was written needs, the last one of which
// may be begun only.
func (w *BitWriter) Len() int { return w.pos + int(w.n+7)/8 }

// Close pads the last byte with zero bits and returns how many bytes were
// written, or ok=false if the buffer was too small.
func (w *BitWriter) Close() (lenBytes int, ok bool) {
	w.Align()
	return w.pos, !w.full
}

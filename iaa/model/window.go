package model

// historyBytes is how far back matches may reach: the device keeps so much of
// its output. Source: Intel IAA Architecture Specification, "Decompress".
const historyBytes = 4096

const (
	minMatchBytes = 3
	maxMatchBytes = 258

	chunkBytes = 64 << 10 // even, for the XOR checksum
)

// window is the output of a decoding job: what matches reach back to, and what
// goes on to the destination a chunk at a time. It is the device's memory and
// not the destination's, which may be left unwritten.
type window struct {
	buf   [historyBytes + chunkBytes + maxMatchBytes]byte
	start int // of what is not flushed
	end   int
	// oldest is where history begins.
	oldest int

	dst   []byte // what is left of the destination; nil if output is suppressed
	left  int    // how many more bytes the job may yield
	total int    // how many it has yielded

	sums checksums
}

// reset starts a job that yields at most limitBytes, into dst if it is not nil.
func (w *window) reset(dst []byte, limitBytes int) {
	w.start, w.end, w.oldest = historyBytes, historyBytes, historyBytes
	w.dst = dst
	w.left, w.total = limitBytes, 0
}

// precede lets the output begin behind some history.
func (w *window) precede(history []byte) {
	w.oldest = historyBytes - len(history)
	copy(w.buf[w.oldest:], history)
}

// literal appends a byte; there must be room.
func (w *window) literal(b byte) {
	w.buf[w.end] = b
	w.end++
	w.left--
	w.total++
	if w.end >= historyBytes+chunkBytes {
		w.flush()
	}
}

// match appends n bytes from distance back; there must be room and history.
func (w *window) match(n, distance int) {
	from := w.end - distance
	if distance >= n {
		copy(w.buf[w.end:w.end+n], w.buf[from:from+n])
	} else {
		for i := range n {
			w.buf[w.end+i] = w.buf[from+i]
		}
	}
	w.end += n
	w.left -= n
	w.total += n
	if w.end >= historyBytes+chunkBytes {
		w.flush()
	}
}

// flush hands on what was appended, and keeps the history.
func (w *window) flush() {
	fresh := w.buf[w.start:w.end]
	w.sums.update(fresh)
	if w.dst != nil {
		w.dst = w.dst[copy(w.dst, fresh):]
	}
	keepFrom := max(w.oldest, w.end-historyBytes)
	kept := copy(w.buf[historyBytes-(w.end-keepFrom):], w.buf[keepFrom:w.end])
	w.oldest = historyBytes - kept
	w.start, w.end = historyBytes, historyBytes
}

// history is what matches may still reach.
func (w *window) history() []byte {
	return w.buf[max(w.oldest, w.end-historyBytes):w.end]
}

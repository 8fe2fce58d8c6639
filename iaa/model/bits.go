package model

import "encoding/binary"

// bitReader takes bits from a stream, the lowest bit of a byte first (RFC 1951,
// 3.1.1). Where bits are left over from a job before, they come first.
type bitReader struct {
	held  uint64 // bits that were taken from input; those above count are zero or the next ones
	count uint   // how many of them are valid
	input []byte // what held was not taken from yet
	next  []byte // follows on input
	// ignoreBits of the very last byte, 0 to 7, are not part of the stream.
	ignoreBits uint
}

// reset makes the reader begin with carried, less its first skipBits bits, and
// go on with input. The last ignoreBits bits of the input do not count.
func (r *bitReader) reset(carried []byte, skipBits uint, input []byte, ignoreBits uint) {
	wholeBytes := min(int(ignoreBits/8), len(input))
	input = input[:len(input)-wholeBytes]
	*r = bitReader{input: carried, next: input, ignoreBits: ignoreBits % 8}
	if len(carried) == 0 {
		r.input, r.next = input, nil
	}
	if skipBits > 0 {
		r.fill()
		r.take(skipBits)
	}
}

// fill makes at least 57 bits available, or all that there are.
func (r *bitReader) fill() {
	if len(r.input) > 8 {
		r.held |= binary.LittleEndian.Uint64(r.input) << r.count
		takenBytes := (63 - r.count) / 8
		r.input = r.input[takenBytes:]
		r.count += takenBytes * 8
		return
	}
	r.fillSlowly()
}

func (r *bitReader) fillSlowly() {
	for r.count <= 56 {
		if len(r.input) == 0 {
			if len(r.next) == 0 {
				return
			}
			r.input, r.next = r.next, nil
		}
		last := len(r.input) == 1 && len(r.next) == 0
		bits := uint(8)
		if last {
			bits -= r.ignoreBits
		}
		r.held |= uint64(r.input[0]) & (1<<bits - 1) << r.count
		r.count += bits
		r.input = r.input[1:]
	}
}

// take removes n bits, which must have been made available.
func (r *bitReader) take(n uint) uint64 {
	v := r.held & (1<<n - 1)
	r.held >>= n
	r.count -= n
	return v
}

// takeUpTo32 removes 32 bits, or all that are left.
func (r *bitReader) takeUpTo32() (v uint64, n uint) {
	r.fill()
	n = min(r.count, 32)
	return r.take(n), n
}

// alignToByte drops what is left of the current byte.
func (r *bitReader) alignToByte() { r.take(r.count % 8) }

// inCarried reports whether the bits from before are not used up yet.
func (r *bitReader) inCarried() bool { return r.next != nil }

// consumedBytes is how many bytes were taken from an input of inputBytes.
func (r *bitReader) consumedBytes(inputBytes int) int {
	if r.inCarried() {
		return 0
	}
	return inputBytes - len(r.input)
}

// leftBits is how many bits are left in all.
func (r *bitReader) leftBits() uint64 {
	n := uint64(r.count) + 8*uint64(len(r.input)+len(r.next))
	if len(r.input)+len(r.next) > 0 {
		n -= uint64(r.ignoreBits)
	}
	return n
}

// bitWriter puts bits into a stream in the same order.
type bitWriter struct {
	held  uint64
	count uint   // below 8 between calls
	out   []byte // whole bytes
}

func (w *bitWriter) reset(out []byte) { *w = bitWriter{out: out[:0]} }

// put appends the lowest n bits of v, at most 48.
func (w *bitWriter) put(v uint64, n uint) {
	w.held |= v & (1<<n - 1) << w.count
	w.count += n
	for w.count >= 8 {
		w.out = append(w.out, byte(w.held))
		w.held >>= 8
		w.count -= 8
	}
}

// flush fills the last byte with zeros.
func (w *bitWriter) flush() {
	if w.count > 0 {
		w.put(0, 8-w.count)
	}
}

// lenBits is how many bits were put.
func (w *bitWriter) lenBits() int { return 8*len(w.out) + int(w.count) }

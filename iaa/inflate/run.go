package inflate

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// runResult says why a run of symbols ended.
type runResult int

const (
	runLimit       runResult = iota // of the input, or of the output, is reached
	runTooLong                      // a match does not fit
	runTooFar                       // a distance reaches before the start
	runBadCode                      // a distance has no code
	runExceptional                  // the next symbol is no literal and no length
)

const (
	literalMask  = 1<<literalBits - 1
	distanceMask = 1<<distanceBits - 1

	// copyBytes are copied for every match; what is too much lies in the slack
	// or is overwritten.
	copyBytes = 40
)

// A period is how the last bytes of the output are repeated when a match reaches
// back fewer than 8: a word of them, times factor, is full of repetitions, of
// which stride bytes are whole ones.
type period struct {
	mask, factor uint64
	stride       uintptr
}

var periods = makePeriods()

func makePeriods() (all [8]period) {
	for distance := 1; distance < len(all); distance++ {
		p := &all[distance]
		p.mask = 1<<(8*distance) - 1
		for at := 0; at < 8; at += distance {
			p.factor |= 1 << (8 * at)
		}
		p.stride = uintptr(8 - 8%distance)
	}
	return all
}

// runPortable decodes symbols until one is neither a literal nor a match, or the
// stream is wrong. See the package's comment for why the pointers stay inside the
// buffers. The caller has checked that no more was consumed than there is.
//
//nolint:funlen,gocognit // one loop, whose state is in registers
func runPortable(s *stream, t *Table) runResult {
	src := unsafe.Pointer(unsafe.SliceData(s.src)) //nolint:gosec // see the package's comment
	dst := unsafe.Pointer(unsafe.SliceData(s.dst)) //nolint:gosec // see the package's comment
	in, out := uintptr(s.in), uintptr(s.out)
	inLimit, end := uintptr(s.srcLen+8), uintptr(s.dstLen)
	buf, left := s.buf, s.left
	var result runResult

	buf |= load(unsafe.Add(src, in)) << (left & 63)
	in += uintptr(7 - left>>3&7)
	left |= 56
	entry := t.literal[buf&literalMask]
	for {
		if in > inLimit || out > end {
			result = runLimit
			break
		}
		// A literal each, if there is one: without a branch, because whether
		// there is cannot be predicted.
		*(*byte)(unsafe.Add(dst, out)) = byte(entry >> valueShift)
		out += uintptr(entry >> 31)
		buf >>= entry & 63
		left -= entry
		entry = t.literal[buf&literalMask]
		*(*byte)(unsafe.Add(dst, out)) = byte(entry >> valueShift)
		out += uintptr(entry >> 31)
		buf >>= entry & 63
		left -= entry
		entry = t.literal[buf&literalMask]
		if int32(entry) < 0 {
			buf |= load(unsafe.Add(src, in)) << (left & 63)
			in += uintptr(7 - left>>3&7)
			left |= 56
			continue
		}
		if entry&literalExceptional != 0 {
			if entry&literalSubtable == 0 {
				result = runExceptional
				break
			}
			index := entry>>valueShift&subtableMask +
				uint32(buf>>literalBits)&(2<<(entry>>literalSubShift&literalSubMask)-1)
			inside := t.literal[index]
			if inside&literalExceptional != 0 {
				result = runExceptional
				break
			}
			entry = inside
			buf >>= literalBits
			left -= literalBits
			if int32(entry) < 0 {
				buf |= load(unsafe.Add(src, in)) << (left & 63)
				in += uintptr(7 - left>>3&7)
				left |= 56
				continue
			}
		}
		saved := buf
		consumed := entry >> consumeShift
		buf >>= consumed & 63
		left -= consumed
		far := t.distance[buf&distanceMask]
		buf |= load(unsafe.Add(src, in)) << (left & 63)
		in += uintptr(7 - left>>3&7)
		left |= 56
		length := uintptr(entry>>valueShift&lengthMask) + uintptr(saved&(1<<(consumed&63)-1)>>(entry>>lengthCodeShift&63))
		if far&distanceExceptional != 0 {
			if far&distanceSubtable == 0 {
				result = runBadCode
				break
			}
			buf >>= distanceBits
			left -= distanceBits
			index := far>>valueShift&subtableMask + uint32(buf)&(2<<(far>>distanceSubShift&distanceSubMask)-1)
			far = t.distance[index]
			if far&distanceExceptional != 0 {
				result = runBadCode
				break
			}
		}
		saved = buf
		buf >>= far & 63
		left -= far
		// The next symbol is looked up before the copy, which takes longer.
		entry = t.literal[buf&literalMask]
		buf |= load(unsafe.Add(src, in)) << (left & 63)
		in += uintptr(7 - left>>3&7)
		left |= 56
		distance := uintptr(far>>valueShift) + uintptr(saved&(1<<(far&63)-1)>>(far>>distanceCodeShift&63))
		if distance > out {
			result = runTooFar
			break
		}
		if out+length > end {
			result = runTooLong
			break
		}
		to := unsafe.Add(dst, out)
		from := unsafe.Add(to, -int(distance))
		out += length
		if distance >= 8 {
			for {
				store(to, load(from))
				store(unsafe.Add(to, 8), load(unsafe.Add(from, 8)))
				store(unsafe.Add(to, 16), load(unsafe.Add(from, 16)))
				store(unsafe.Add(to, 24), load(unsafe.Add(from, 24)))
				store(unsafe.Add(to, 32), load(unsafe.Add(from, 32)))
				if length <= copyBytes {
					break
				}
				to, from = unsafe.Add(to, copyBytes), unsafe.Add(from, copyBytes)
				length -= copyBytes
			}
		} else {
			copyPeriod(to, from, length, distance)
		}
	}
	s.in, s.out, s.buf, s.left = int(in), int(out), buf, left&63
	runtime.KeepAlive(s)
	return result
}

// load reads 8 bytes, the first of which is the least significant: where the
// processor can do that, in one instruction.
func load(p unsafe.Pointer) uint64 { return binary.LittleEndian.Uint64((*[8]byte)(p)[:]) }

// store is load's counterpart.
func store(p unsafe.Pointer, word uint64) { binary.LittleEndian.PutUint64((*[8]byte)(p)[:], word) }

// copyPeriod repeats the last distance bytes, fewer than 8.
func copyPeriod(to, from unsafe.Pointer, length, distance uintptr) {
	p := &periods[distance&7]
	word := (load(from) & p.mask) * p.factor
	for i := uintptr(0); i < length; i += p.stride {
		store(unsafe.Add(to, i), word)
	}
}

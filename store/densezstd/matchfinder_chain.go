package densezstd

import (
	"encoding/binary"
	"math/bits"
)

// chainFinder finds matches of four bytes and more: positions with the same
// hash of their next four bytes form a chain, the latest first.
type chainFinder struct {
	src   []byte
	head  []uint32 // by hash: base + the latest position, or less than base
	head3 []uint32
	prev  []uint32 // by position: as head, the position before it
	base  uint32   // what earlier frames left in head is below
	next  int      // positions below are inserted
	// attempts is how many positions of a chain are looked at.
	attempts int
}

const (
	chainHashBits = 15
	minChainMatch = 4
)

func newChainFinder(maxBytes, attempts int) *chainFinder {
	return &chainFinder{
		head:     make([]uint32, 1<<chainHashBits),
		head3:    make([]uint32, 1<<tree3HashBits),
		prev:     make([]uint32, maxBytes),
		attempts: attempts,
	}
}

// start forgets the frame before and takes src.
func (f *chainFinder) start(src []byte) {
	f.base += uint32(len(f.src))
	if f.base == 0 || f.base > 1<<31 {
		clear(f.head)
		clear(f.head3)
		f.base = 1
	}
	f.src, f.next = src, 0
}

func hash4(v uint32) uint32 { return v * 2654435761 >> (32 - chainHashBits) }

func load32(p []byte, at int) uint32 { return binary.LittleEndian.Uint32(p[at:]) }
func load64(p []byte, at int) uint64 { return binary.LittleEndian.Uint64(p[at:]) }

// insert adds the positions below end.
func (f *chainFinder) insert(end int) {
	end = min(end, len(f.src)-minChainMatch+1)
	head := (*[1 << chainHashBits]uint32)(f.head)
	for at := f.next; at < end; at++ {
		h := hash4(load32(f.src, at)) & (1<<chainHashBits - 1)
		f.prev[at] = head[h]
		head[h] = f.base + uint32(at)
	}
	f.next = max(f.next, end)
}

// match is a repetition: the next length bytes are those offset bytes before.
type match struct {
	length, offset int
}

// find returns the longest match at position at, which has at least four bytes
// before the end, if it is longer than atLeast.
func (f *chainFinder) find(at, atLeast int) match {
	f.insert(at)
	src := f.src
	word := load32(src, at)
	h := hash4(word) & (1<<chainHashBits - 1)
	best := match{length: max(atLeast, minChainMatch-1)}
	link := f.head[h]
	f.prev[at] = link
	f.head[h] = f.base + uint32(at)
	f.next = at + 1
	for n := f.attempts; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		link = f.prev[from]
		end := at + best.length
		if end >= len(src) {
			break
		}
		if load32(src, from+best.length-3) != load32(src, end-3) || load32(src, from) != word {
			continue
		}
		if length := commonLength(src, from+4, at+4) + 4; length > best.length {
			best = match{length, at - from}
		}
	}
	if best.offset == 0 {
		return match{}
	}
	return best
}

func (f *chainFinder) insertTo(end int) { f.insert(end) }

// collect inserts position at and appends its matches, longer ones last.
// Positions must come in order, each once.
func (f *chainFinder) collect(found []foundMatch, at int) []foundMatch {
	src := f.src
	word := load32(src, at)
	best := minMatchFormat - 1
	h3 := word << 8 * 0x9E3779B1 >> (32 - tree3HashBits)
	if link := f.head3[h3]; link >= f.base {
		from := int(link - f.base)
		if (load32(src, from)^word)<<8 == 0 {
			best = commonLength(src, from, at)
			found = append(found, foundMatch{uint32(best), uint32(at - from)})
		}
	}
	f.head3[h3] = f.base + uint32(at)
	h := hash4(word) & (1<<chainHashBits - 1)
	link := f.head[h]
	f.prev[at] = link
	f.head[h] = f.base + uint32(at)
	f.next = at + 1
	for n := f.attempts; n > 0 && link >= f.base; n-- {
		from := int(link - f.base)
		link = f.prev[from]
		end := at + best
		if end >= len(src) {
			break
		}
		if load32(src, from) != word || src[from+best] != src[end] {
			continue
		}
		if length := commonLength(src, from+4, at+4) + 4; length > best {
			best = length
			found = append(found, foundMatch{uint32(best), uint32(at - from)})
			if length >= niceLen {
				break
			}
		}
	}
	return found
}

// commonLength returns how many bytes from a on equal those from b on, a < b.
func commonLength(src []byte, a, b int) int {
	p, q := src[a:], src[b:]
	for len(p) >= 8 && len(q) >= 8 {
		if diff := load64(p, 0) ^ load64(q, 0); diff != 0 {
			return len(src) - b - len(q) + bits.TrailingZeros64(diff)>>3
		}
		p, q = p[8:], q[8:]
	}
	for len(p) > 0 && len(q) > 0 && p[0] == q[0] {
		p, q = p[1:], q[1:]
	}
	return len(src) - b - len(q)
}

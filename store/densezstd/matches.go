package densezstd

import (
	"encoding/binary"
	"math/bits"
)

// match is a repetition: the next length bytes are those offset bytes before.
type match struct{ length, offset uint32 }

// extend lengthens a match at position at as far as it goes.
func (m *match) extend(src []byte, at int) {
	end := at + int(m.length)
	m.length = min(m.length+uint32(commonLength(src, end-int(m.offset), end)), maxMatchLen)
}

// tripleTable knows the latest position of every three bytes, or rather of
// their hash. Matches so short pay only if they are near, so the latest will
// do.
type tripleTable struct {
	latest [1 << tripleHashBits]uint32 // base + position
}

const tripleHashBits = 14

// replace makes position at the latest and appends the match with the one
// that was, unless it was in an earlier frame, below base.
func (t *tripleTable) replace(found []match, src []byte, at int, base uint32) []match {
	word := load32(src, at)
	entry := &t.latest[word<<8*hashFactor>>(32-tripleHashBits)]
	link := *entry
	*entry = base + uint32(at)
	if link < base {
		return found
	}
	from := int(link - base)
	if (load32(src, from)^word)<<8 != 0 {
		return found
	}
	length := commonLength(src[:min(len(src), at+niceLen)], from, at)
	return append(found, match{uint32(length), uint32(at - from)})
}

// hashFactor spreads the bits of a word upwards; it is 2^32 over the golden
// ratio.
const hashFactor = 0x9E3779B1

// niceLen is the length up to which match finders compare: texts that have so
// much in common count as the same.
const niceLen = 256

func load32(p []byte, at int) uint32 { return binary.LittleEndian.Uint32(p[at : at+4]) }
func load64(p []byte, at int) uint64 { return binary.LittleEndian.Uint64(p[at : at+8]) }

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

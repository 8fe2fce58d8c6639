package deflate

import "unsafe"

// Large tables cost less, in misses of the nearest cache, than collisions in
// small ones do in mispredicted branches.
const (
	chainBits  = 15
	shortBits  = 14
	windowMask = maxDistance - 1
)

// chainFinder finds matches by chains: of the positions with the same hash of
// four bytes, each knows the one before it. Matches of three bytes are found
// only at the last position with the same hash of three bytes.
type chainFinder struct {
	last     [1 << chainBits]uint32
	previous [maxDistance]uint32 // by position modulo its size
	short    [1 << shortBits]uint32
}

func chainSlot(four uint32) uint32 { return four * hashFactor >> (32 - chainBits) }
func shortSlot(four uint32) uint32 { return four << 8 * hashFactor >> (32 - shortBits) }

// insert remembers the position of four bytes and returns the last ones with
// the same hashes, of four bytes and of three.
func (f *chainFinder) insert(four, position uint32) (newest, short uint32) {
	slot := chainSlot(four)
	newest = f.last[slot]
	f.previous[position&windowMask] = newest
	f.last[slot] = position
	slot = shortSlot(four)
	short = f.short[slot]
	f.short[slot] = position
	return newest, short
}

// search is a search for the longest match at one byte of the window. It looks
// at up to depth candidates, and ends with a match of at least enough bytes.
type search struct {
	p             unsafe.Pointer // of the window
	i             int            // index of the byte
	position      uint32         // of the byte
	depth, enough int
}

// longest remembers the position and returns the longest match there that is
// longer than least, or distance 0. The length may exceed maxMatch and reach
// beyond the input.
func (f *chainFinder) longest(s search, least int) (length int, distance uint32) {
	four := load32(s.p, s.i)
	candidate, short := f.insert(four, s.position)
	if least >= minMatch+1 {
		return f.longer(s, candidate, four, least, 0)
	}
	for ; s.depth > 0; s.depth-- {
		d := s.position - candidate
		if d > maxDistance {
			break
		}
		older := f.previous[candidate&windowMask]
		if load32(s.p, s.i-int(d)) == four {
			length = matchLength(s.p, s.i, s.i-int(d), maxMatch)
			if length >= s.enough || older >= candidate {
				return length, d
			}
			s.depth--
			return f.longer(s, older, four, length, d)
		}
		if older >= candidate {
			break
		}
		candidate = older
	}
	if least < minMatch {
		if d := s.position - short; d <= maxDistance && (load32(s.p, s.i-int(d))^four)<<8 == 0 {
			return minMatch, d
		}
	}
	return least, 0
}

// longer returns the longest match from the candidate on that is longer than
// least, or what is given. least is at least 4.
func (f *chainFinder) longer(s search, candidate, four uint32, least int, distance uint32) (int, uint32) {
	tail := load32(s.p, s.i+least-3)
	for ; s.depth > 0; s.depth-- {
		d := s.position - candidate
		if d > maxDistance {
			break
		}
		j := s.i - int(d)
		if load32(s.p, j+least-3) == tail && load32(s.p, j) == four {
			if n := matchLength(s.p, s.i, j, maxMatch); n > least {
				least, distance = n, d
				if n >= s.enough {
					break
				}
				tail = load32(s.p, s.i+least-3)
			}
		}
		older := f.previous[candidate&windowMask]
		if older >= candidate {
			break
		}
		candidate = older
	}
	return least, distance
}

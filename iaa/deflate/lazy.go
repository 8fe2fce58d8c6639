package deflate

import "math/bits"

// parseLazy takes the longest match, unless it is lazy and the next byte begins
// a better one.
func (e *Encoder) parseLazy(from, end int, params *params) {
	w, f, h := &e.window, e.chains, &e.histogram
	p, base := w.pointer(), w.base
	tokens := e.tokens[len(e.tokens):cap(e.tokens)]
	count := 0
	final := params.enough // of this length a match is taken without comparing
	if params.parser == parserGreedy {
		final = 0
	}
	for i := from; i < end; {
		s := search{p, i, base + uint32(i), params.depth, params.enough}
		length, distance := f.longest(s, minMatch-1)
		length = min(length, end-i)
		inserted := i + 1
		for worthwhile(length, distance) && length < final && i+1 < end {
			s := search{p, i + 1, base + uint32(i+1), params.depth / 2, params.enough}
			n, d := f.longest(s, length-1)
			n = min(n, end-i-1)
			inserted = i + 2
			if d == 0 || n < minMatch || !better(n, d, length, distance) {
				break
			}
			c := load8(p, i)
			tokens[count] = token(c)
			h.literal[c]++
			count++
			i++
			length, distance = n, d
		}
		if !worthwhile(length, distance) {
			c := load8(p, i)
			tokens[count] = token(c)
			h.literal[c]++
			count++
			i++
			continue
		}
		length = min(length, maxMatch)
		t := matchToken(uint32(length), distance)
		tokens[count] = t
		h.add(t)
		count++
		i += length
		for j := inserted; j < i; j++ {
			f.insert(load32(p, j), base+uint32(j))
		}
	}
	e.tokens = e.tokens[:len(e.tokens)+count]
}

// worthwhile tells whether a match is likely to be shorter than its literals.
func worthwhile(length int, distance uint32) bool {
	return length > minMatch || length == minMatch && distance <= 1024
}

// better tells whether a match at the next byte is likely to save more than
// one that begins now: a byte counts for four bits, since a literal is needed.
func better(length int, distance uint32, than int, thanDistance uint32) bool {
	return 4*(length-than)+bits.Len32(thanDistance)-bits.Len32(distance) > 2
}

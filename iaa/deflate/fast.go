package deflate

const (
	fastBits = 13

	// hashFactor spreads bytes over the upper bits of a hash: 2^32 divided by
	// the golden ratio.
	hashFactor = 0x9e3779b1
)

// fastFinder remembers the last position of each hash of four bytes.
type fastFinder struct {
	last [1 << fastBits]uint32
}

func fastSlot(four uint32) uint32 { return four * hashFactor >> (32 - fastBits) }

// parseFast takes the first match that there is.
func (e *Encoder) parseFast(from, end int) {
	w, last, h := &e.window, &e.fast.last, &e.histogram
	p, base := w.pointer(), w.base
	tokens := e.tokens[len(e.tokens):cap(e.tokens)]
	count := 0
	for i := from; i < end; {
		four := load32(p, i)
		slot := fastSlot(four)
		distance := base + uint32(i) - last[slot]
		last[slot] = base + uint32(i)
		if distance > maxDistance || load32(p, i-int(distance)) != four || end-i < minMatch {
			tokens[count] = token(byte(four))
			h.literal[byte(four)]++
			count++
			i++
			continue
		}
		length := min(matchLength(p, i, i-int(distance), maxMatch), maxMatch, end-i)
		t := matchToken(uint32(length), distance)
		tokens[count] = t
		h.add(t)
		count++
		// Of the positions inside a match, a few are enough.
		for _, inside := range [...]int{1, length - 2, length - 1} {
			last[fastSlot(load32(p, i+inside))] = base + uint32(i+inside)
		}
		i += length
	}
	e.tokens = e.tokens[:len(e.tokens)+count]
}

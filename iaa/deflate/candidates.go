package deflate

// candidate is a match that a byte may begin with, of this length or any
// shorter one:
//
//	bits  0 to 11  are distance - 1,
//	bits 12 to 16  the symbol of the distance,
//	bits 20 to 28  the length.
type candidate uint32

const (
	candidateSymbolShift = 12
	candidateLengthShift = 20
)

func makeCandidate(length int, distance uint32) candidate {
	return candidate(uint32(length)<<candidateLengthShift | distanceSymbol(distance)<<candidateSymbolShift | (distance - 1))
}

func (c candidate) length() int            { return int(c >> candidateLengthShift) }
func (c candidate) distanceSymbol() uint32 { return uint32(c>>candidateSymbolShift) & 31 }
func (c candidate) offset() uint32         { return uint32(c & windowMask) } // distance - 1

// candidateList has the candidates of all bytes of a piece. They are found once
// for many passes of the optimal parser.
type candidateList struct {
	list []candidate
	// begin is where the candidates of each byte begin in list; those of the
	// next byte are their end. They are in the order of lengths, each length
	// with its shortest distance.
	begin [pieceBytes + 1]uint32
}

// of returns the candidates of a byte of the piece.
func (l *candidateList) of(i int) []candidate { return l.list[l.begin[i]:l.begin[i+1]] }

// longest returns the last candidate of a byte of the piece, or 0.
func (l *candidateList) longest(i int) candidate {
	if all := l.of(i); len(all) > 0 {
		return all[len(all)-1]
	}
	return 0
}

// collect finds the candidates of a piece of the window.
func (l *candidateList) collect(f *chainFinder, w *window, from, to int, params *params) {
	l.list = l.list[:0]
	var length int // of a match that was enough, from the byte before on, or less
	var distance uint32
	s := search{p: w.pointer(), depth: params.depth, enough: params.enough}
	for i := from; i < to; i++ {
		l.begin[i-from] = uint32(len(l.list))
		s.i, s.position = i, w.base+uint32(i)
		newest, short := f.insert(load32(s.p, i), s.position)
		limit := min(maxMatch, to-i)
		length--
		switch {
		case length >= params.enough:
			// One byte later the same match is still enough. So long runs
			// are searched only once.
			l.list = append(l.list, makeCandidate(min(length, limit), distance))
		case limit >= minMatch:
			length, distance = l.search(f, s, newest, short, limit)
			if length > 0 {
				length = min(matchLength(s.p, i, i-int(distance), to-i), to-i)
			}
		}
	}
	l.begin[to-from] = uint32(len(l.list))
}

// search adds the candidates of a byte. If the last one is enough, it returns
// its length and distance.
func (l *candidateList) search(f *chainFinder, s search, at, short uint32, limit int) (int, uint32) {
	best := minMatch
	four := load32(s.p, s.i)
	if distance := s.position - short; distance <= maxDistance && (load32(s.p, s.i-int(distance))^four)<<8 == 0 {
		l.list = append(l.list, makeCandidate(minMatch, distance))
	}
	tail := four // the last four bytes of a match that would be longer than best
	for ; s.depth > 0 && best < limit; s.depth-- {
		distance := s.position - at
		if distance > maxDistance {
			break
		}
		j := s.i - int(distance)
		if load32(s.p, j+best-3) == tail && load32(s.p, j) == four {
			length := matchLength(s.p, s.i, j, maxMatch)
			if length > best {
				best = min(length, limit)
				l.list = append(l.list, makeCandidate(best, distance))
				if length >= s.enough {
					return best, distance
				}
				tail = load32(s.p, s.i+best-3)
			}
		}
		older := f.previous[at&windowMask]
		if older >= at {
			break
		}
		at = older
	}
	return 0, 0
}

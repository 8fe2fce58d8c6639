package memfile

import "bytes"

const (
	pageBytes = 4096
	// runBytes bounds how much is written, or held in memory, at once.
	runBytes = 1 << 20
)

var zeroPage [pageBytes]byte

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:]) }

// nextRun finds the first run of pages in raw, from start on, that all satisfy
// want. It is empty and at the end if there is none, and at most runBytes long.
func nextRun(raw []byte, start int, want func(at int) bool) (from, to int) {
	for from = start; from < len(raw) && !want(from); {
		from += pageBytes
	}
	for to = from; to < len(raw) && to-from < runBytes && want(to); {
		to += pageBytes
	}
	return from, to
}

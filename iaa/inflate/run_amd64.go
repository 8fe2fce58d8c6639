package inflate

import "golang.org/x/sys/cpu"

// byHand says whether the processor runs the loops of run_amd64.s.
var byHand = cpu.X86.HasBMI2 && cpu.X86.HasSSSE3

// repeats are, for each distance up to 16, a shuffle that repeats as many bytes
// over 16, and then its smallest multiple that is at least 16, in the first 8
// bytes of a row.
//
//nolint:unused // run_amd64.s reads it
var repeats = makeRepeats()

//nolint:unused // see repeats
func makeRepeats() (rows [2 * 17][16]byte) {
	for distance := 1; distance <= 16; distance++ {
		for i := range rows[distance] {
			rows[distance][i] = byte(i % distance)
		}
		rows[17+distance][0] = byte((16 + distance - 1) / distance * distance)
	}
	return rows
}

// runSingle does what runPortable does.
//
//go:noescape
func runSingle(s *stream, t *Table) runResult

// runTwo runs two streams until one of them, 0 or 1, ends as runPortable does. The
// other one's state is between two symbols.
//
//go:noescape
func runTwo(a, b *stream, ta, tb *Table) (which int, result runResult)

func runPair(a, b *stream, ta, tb *Table) (which int, result runResult) {
	if byHand {
		return runTwo(a, b, ta, tb)
	}
	return 0, runPortable(a, ta)
}

func run(s *stream, t *Table) runResult {
	if byHand {
		return runSingle(s, t)
	}
	return runPortable(s, t)
}

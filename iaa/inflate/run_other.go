//go:build !amd64

package inflate

func run(s *stream, t *Table) runResult { return runPortable(s, t) }

// runPair runs the first stream only.
func runPair(a, _ *stream, ta, _ *Table) (which int, result runResult) {
	return 0, runPortable(a, ta)
}

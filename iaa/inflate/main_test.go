package inflate

import (
	"testing"
)

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// rounds is how often a random test repeats itself: a tenth with -short, and again
// a tenth with the race detector.
func rounds(n int) int {
	if testing.Short() {
		n /= 10
	}
	if raceDetector {
		n /= 10
	}
	return max(1, n)
}

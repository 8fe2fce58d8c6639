package inflate

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// seedEnv repeats the random choices of a failed run.
const seedEnv = "SABREFS_SEED"

// seeded returns a source of random numbers whose seed the log has.
func seeded(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		wantNoError(tb, err)
	}
	tb.Logf("repeat with %s=%d", seedEnv, seed)
	return fixedRand(seed)
}

func fixedRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

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

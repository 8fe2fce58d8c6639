package seedtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Variable names the environment variable that repeats the random choices of a failed
// run: a decimal number.
const Variable = "SABREFS_SEED"

// Rand returns a source of random numbers whose seed the log has.
func Rand(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(Variable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			tb.Fatalf("%s: %v", Variable, err)
		}
	}
	tb.Logf("repeat with %s=%d", Variable, seed)
	return Fixed(seed)
}

// Fixed returns the source of a seed, the same each time.
func Fixed(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

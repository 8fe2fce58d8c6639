package huffman

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
		if err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("repeat with %s=%d", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// randomFreqs returns frequencies of many shapes: few or all symbols used, even
// or spread over many orders of magnitude.
func randomFreqs(rng *rand.Rand, symbols int) []uint32 {
	freqs := make([]uint32, symbols)
	used := rng.IntN(101)
	spread := rng.IntN(20)
	for i := range freqs {
		if rng.IntN(100) < used {
			freqs[i] = 1 + rng.Uint32N(1<<rng.IntN(spread+1))
		}
	}
	return freqs
}

// randomLengths returns the lengths of random codes of at most maxBits.
func randomLengths(rng *rand.Rand, maxBits int) (l Lengths) {
	var b Builder
	freqs := randomFreqs(rng, LiteralSymbols)
	freqs[EndOfBlock] = max(1, freqs[EndOfBlock])
	b.Build(l.Literal[:], freqs, maxBits)
	b.Build(l.Distance[:], randomFreqs(rng, DistanceSymbols), maxBits)
	return l
}

package huffman

import (
	"math/rand/v2"
)

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

package deflate

// smooth makes the frequencies of neighbors equal that are similar, and gives
// codes to a few symbols that do not occur. The codes get a little worse and
// their description shorter, since equal lengths make runs.
func smooth(freqs []uint32) {
	// The figures were found by trying. A run of so many zeros is cheap to
	// describe and stays.
	const fewest, zeros = 4, 5
	for begin := 0; begin < len(freqs); {
		if n := leadingZeros(freqs[begin:]); n >= zeros || begin+n == len(freqs) {
			begin += n
			continue
		}
		run := similar(freqs[begin:], zeros)
		if len(run) >= fewest {
			level(run)
		}
		begin += len(run)
	}
}

func leadingZeros(freqs []uint32) (n int) {
	for n < len(freqs) && freqs[n] == 0 {
		n++
	}
	return n
}

// similar returns the frequencies from the first one on that are about equal, up
// to a run of so many zeros. The first ones are fewer zeros.
func similar(freqs []uint32, zeros int) []uint32 {
	low, high, zerosSeen := freqs[0], freqs[0], 0
	for end, freq := range freqs {
		low, high = min(low, freq), max(high, freq)
		if high > 2*low+5 {
			return freqs[:end]
		}
		zerosSeen++
		if freq > 0 {
			zerosSeen = 0
		}
		if zerosSeen == zeros {
			return freqs[:end+1-zeros]
		}
	}
	return freqs
}

// level replaces frequencies by their mean, at least 1.
func level(freqs []uint32) {
	n := uint32(len(freqs))
	sum := n / 2
	for _, freq := range freqs {
		sum += freq
	}
	for i := range freqs {
		freqs[i] = max(sum/n, 1)
	}
}

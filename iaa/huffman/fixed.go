package huffman

// The alphabets of the fixed codes, RFC 1951, 3.2.6: they have codes that stand
// for nothing.
const (
	FixedLiteralSymbols  = LiteralSymbols + 2
	FixedDistanceSymbols = DistanceSymbols + 2
)

// FixedLiteral returns the code lengths of the fixed literal/length code, in bits.
func FixedLiteral() (lengths [FixedLiteralSymbols]uint8) {
	for symbol := range lengths {
		switch {
		case symbol < 144, symbol >= 280:
			lengths[symbol] = 8
		case symbol < 256:
			lengths[symbol] = 9
		default:
			lengths[symbol] = 7
		}
	}
	return lengths
}

// FixedDistance returns the code lengths of the fixed distance code, in bits.
func FixedDistance() (lengths [FixedDistanceSymbols]uint8) {
	for symbol := range lengths {
		lengths[symbol] = 5
	}
	return lengths
}

// Fixed returns the code lengths of the fixed codes, in bits, without the symbols
// that stand for nothing: these take part in the codes, so the codes do not follow
// from what it returns.
func Fixed() (lengths Lengths) {
	literal, distance := FixedLiteral(), FixedDistance()
	copy(lengths.Literal[:], literal[:])
	copy(lengths.Distance[:], distance[:])
	return lengths
}

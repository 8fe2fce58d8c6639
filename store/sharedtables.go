package store

// SharedTable is a pair of Huffman codes that DEFLATE frames of an image may
// use instead of carrying their own: the code lengths of RFC 1951, 3.2.7, for
// the literal/length alphabet and for the distance alphabet, 0 to 15 bits.
type SharedTable struct {
	LiteralLengths  [286]uint8
	DistanceLengths [30]uint8
}

// sharedTableBytes is the size of an encoded table: one byte a code length,
// four bytes of zeros at the end.
const sharedTableBytes = 320

func encodeSharedTables(tables []SharedTable) []byte {
	b := make([]byte, len(tables)*sharedTableBytes)
	for i, t := range tables {
		e := b[i*sharedTableBytes:]
		copy(e, t.LiteralLengths[:])
		copy(e[len(t.LiteralLengths):], t.DistanceLengths[:])
	}
	return b
}

// decodeSharedTables reads the tables and proves that no code is longer than
// DEFLATE allows or oversubscribed (more codes than the lengths have room for).
func decodeSharedTables(b []byte) ([]SharedTable, error) {
	if len(b)%sharedTableBytes != 0 || len(b)/sharedTableBytes > MaxSharedTables {
		return nil, corruptAt(wholeFile, "shared tables of %d bytes", len(b))
	}
	tables := make([]SharedTable, len(b)/sharedTableBytes)
	for i := range tables {
		e := b[i*sharedTableBytes:]
		n := copy(tables[i].LiteralLengths[:], e)
		copy(tables[i].DistanceLengths[:], e[n:])
		if !prefixCodeFits(tables[i].LiteralLengths[:]) || !prefixCodeFits(tables[i].DistanceLengths[:]) {
			return nil, corruptAt(wholeFile, "shared table %d has code lengths that no prefix code has", i+1)
		}
	}
	return tables, nil
}

// prefixCodeFits is the inequality of Kraft and McMillan for codes of at most
// 15 bits.
func prefixCodeFits(lengths []uint8) bool {
	const maxBits = 15
	space := 0
	for _, n := range lengths {
		if n > maxBits {
			return false
		}
		if n > 0 {
			space += 1 << (maxBits - n)
		}
	}
	return space <= 1<<maxBits
}

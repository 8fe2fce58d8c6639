package store

import (
	"sabrefs/iaa"
	"sabrefs/iaa/huffman"
)

// sharedTableBytes is the size of an encoded table: one byte a code length,
// four bytes of zeros at the end.
const sharedTableBytes = 320

func encodeSharedTables(tables []huffman.Lengths) []byte {
	b := make([]byte, len(tables)*sharedTableBytes)
	for i, t := range tables {
		e := b[i*sharedTableBytes:]
		copy(e, t.Literal[:])
		copy(e[len(t.Literal):], t.Distance[:])
	}
	return b
}

// decodeSharedTables reads the tables and proves that no code is longer than
// DEFLATE allows or oversubscribed (more codes than the lengths have room for).
// What a decoder wants beyond that of a table, it says when a frame uses it.
func decodeSharedTables(b []byte) ([]huffman.Lengths, error) {
	if len(b)%sharedTableBytes != 0 || len(b)/sharedTableBytes > MaxSharedTables {
		return nil, corruptAt(wholeFile, "shared tables of %d bytes", len(b))
	}
	tables := make([]huffman.Lengths, len(b)/sharedTableBytes)
	for i := range tables {
		e := b[i*sharedTableBytes:]
		n := copy(tables[i].Literal[:], e)
		copy(tables[i].Distance[:], e[n:])
		if !prefixCodeFits(tables[i].Literal[:]) || !prefixCodeFits(tables[i].Distance[:]) {
			return nil, corruptAt(wholeFile, "shared table %d has code lengths that no prefix code has", i+1)
		}
	}
	return tables, nil
}

// prefixCodeFits is the inequality of Kraft and McMillan for codes of at most
// 15 bits.
func prefixCodeFits(lengths []uint8) bool {
	space := 0
	for _, n := range lengths {
		if n > huffman.MaxBits {
			return false
		}
		if n > 0 {
			space += 1 << (huffman.MaxBits - n)
		}
	}
	return space <= 1<<huffman.MaxBits
}

// prepareTables makes tables ready for coding.
func prepareTables(lengths []huffman.Lengths) ([]*iaa.Table, error) {
	tables := make([]*iaa.Table, len(lengths))
	for i := range lengths {
		var err error
		if tables[i], err = iaa.NewTable(&lengths[i]); err != nil {
			return nil, corruptAt(wholeFile, "shared table %d: %v", i+1, err)
		}
	}
	return tables, nil
}

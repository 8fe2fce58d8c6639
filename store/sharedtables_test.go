package store

import (
	"slices"
	"testing"

	"sabrefs/iaa/huffman"
)

func TestSharedTablesRoundTrip(t *testing.T) {
	full := huffman.Lengths{}
	full.Literal[0], full.Literal[285] = 1, 1
	full.Distance[29] = 15
	for _, tables := range [][]huffman.Lengths{{}, {goldenTable()}, {full, {}, goldenTable()}, slices.Repeat([]huffman.Lengths{full}, MaxSharedTables)} {
		got, err := decodeSharedTables(encodeSharedTables(tables))
		wantNoError(t, err)
		wantEqual(t, "tables are the same", slices.Equal(got, tables), true)
	}
}

func TestSharedTablesRefusals(t *testing.T) {
	spoil := func(change func(t *huffman.Lengths)) []byte {
		table := goldenTable()
		change(&table)
		return encodeSharedTables([]huffman.Lengths{goldenTable(), table})
	}
	for name, b := range map[string][]byte{
		"half a table":         make([]byte, sharedTableBytes/2),
		"a byte too many":      make([]byte, sharedTableBytes+1),
		"too many tables":      make([]byte, (MaxSharedTables+1)*sharedTableBytes),
		"literal of 16 bits":   spoil(func(t *huffman.Lengths) { t.Literal[0] = 16 }),
		"literal of 255 bits":  spoil(func(t *huffman.Lengths) { t.Literal[285] = 255 }),
		"distance of 16 bits":  spoil(func(t *huffman.Lengths) { t.Distance[29] = 16 }),
		"too many literals":    spoil(func(t *huffman.Lengths) { t.Literal[0], t.Literal[1] = 1, 2 }),
		"too many distances":   spoil(func(t *huffman.Lengths) { t.Distance[0], t.Distance[1] = 1, 2 }),
		"three codes of a bit": spoil(func(t *huffman.Lengths) { *t = huffman.Lengths{}; copy(t.Literal[:], []uint8{1, 1, 1}) }),
	} {
		if _, err := decodeSharedTables(b); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
}

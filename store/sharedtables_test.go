package store

import (
	"slices"
	"testing"
)

func TestSharedTablesRoundTrip(t *testing.T) {
	full := SharedTable{}
	full.LiteralLengths[0], full.LiteralLengths[285] = 1, 1
	full.DistanceLengths[29] = 15
	for _, tables := range [][]SharedTable{{}, {goldenTable()}, {full, {}, goldenTable()}, slices.Repeat([]SharedTable{full}, MaxSharedTables)} {
		got, err := decodeSharedTables(encodeSharedTables(tables))
		wantNoError(t, err)
		wantEqual(t, "tables are the same", slices.Equal(got, tables), true)
	}
}

func TestSharedTablesRefusals(t *testing.T) {
	spoil := func(change func(t *SharedTable)) []byte {
		table := goldenTable()
		change(&table)
		return encodeSharedTables([]SharedTable{goldenTable(), table})
	}
	for name, b := range map[string][]byte{
		"half a table":         make([]byte, sharedTableBytes/2),
		"a byte too many":      make([]byte, sharedTableBytes+1),
		"too many tables":      make([]byte, (MaxSharedTables+1)*sharedTableBytes),
		"literal of 16 bits":   spoil(func(t *SharedTable) { t.LiteralLengths[0] = 16 }),
		"literal of 255 bits":  spoil(func(t *SharedTable) { t.LiteralLengths[285] = 255 }),
		"distance of 16 bits":  spoil(func(t *SharedTable) { t.DistanceLengths[29] = 16 }),
		"too many literals":    spoil(func(t *SharedTable) { t.LiteralLengths[0], t.LiteralLengths[1] = 1, 2 }),
		"too many distances":   spoil(func(t *SharedTable) { t.DistanceLengths[0], t.DistanceLengths[1] = 1, 2 }),
		"three codes of a bit": spoil(func(t *SharedTable) { *t = SharedTable{}; copy(t.LiteralLengths[:], []uint8{1, 1, 1}) }),
	} {
		if _, err := decodeSharedTables(b); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantClass(t, err, ErrCorrupt)
		}
	}
}

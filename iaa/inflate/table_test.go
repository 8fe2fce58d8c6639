package inflate

import (
	"testing"

	"sabrefs/iaa/huffman"
	"sabrefs/tests/seedtest"
)

// meaning is what the next 15 bits of an input begin with.
type meaning struct {
	symbol   int // -1 if no code begins so
	codeBits int
	base     int // of a length or a distance, or the literal
	extra    int // bits that follow the code
}

var nothing = meaning{symbol: -1}

// meaningsOf looks all inputs of 15 bits up in a code, in the simplest way.
func meaningsOf(c code, of func(symbol int) meaning) (all [1 << huffman.MaxBits]meaning) {
	for i := range all {
		all[i] = nothing
	}
	for symbol, n := range c.lengths {
		for i := int(c.codes[symbol]); n > 0 && i < len(all); i += 1 << n {
			all[i] = of(symbol)
			all[i].codeBits = int(n)
		}
	}
	return all
}

func literalMeaning(symbol int) meaning {
	switch {
	case symbol < huffman.EndOfBlock:
		return meaning{symbol: 0, base: symbol}
	case symbol == huffman.EndOfBlock:
		return meaning{symbol: huffman.EndOfBlock}
	case symbol >= huffman.LiteralSymbols:
		return nothing
	}
	l := lengthCodes[symbol-firstLengthSymbol]
	return meaning{symbol: firstLengthSymbol, base: l[0], extra: l[1]}
}

func distanceMeaning(symbol int) meaning {
	if symbol >= huffman.DistanceSymbols {
		return nothing
	}
	return meaning{base: distanceCodes[symbol][0], extra: distanceCodes[symbol][1]}
}

// literalIn looks bits up in a table, as the comment on its entries says.
func literalIn(t *Table, bits uint32) meaning {
	entry, before := t.literal[bits&literalMask], 0
	if entry&literalExceptional != 0 && entry&literalSubtable != 0 {
		before = int(entry >> consumeShift & 63)
		index := bits >> before & (1<<(entry>>literalSubShift&literalSubMask+1) - 1)
		entry = t.literal[entry>>valueShift&subtableMask+index]
	}
	total := before + int(entry>>consumeShift&63)
	code := before + int(entry>>lengthCodeShift&15)
	switch {
	case entry&literalFlag != 0:
		return meaning{symbol: 0, base: int(entry >> valueShift & 0xff), codeBits: before + int(entry&0xff)}
	case entry&literalEnd != 0:
		return meaning{symbol: huffman.EndOfBlock, codeBits: total}
	case entry&literalExceptional != 0:
		return meaning{symbol: -1, codeBits: total}
	}
	return meaning{symbol: firstLengthSymbol, base: int(entry >> valueShift & lengthMask), codeBits: code, extra: total - code}
}

func distanceIn(t *Table, bits uint32) meaning {
	entry, before := t.distance[bits&distanceMask], 0
	if entry&distanceExceptional != 0 && entry&distanceSubtable != 0 {
		before = int(entry & 63)
		index := bits >> before & (1<<(entry>>distanceSubShift&distanceSubMask+1) - 1)
		entry = t.distance[entry>>valueShift&subtableMask+index]
	}
	if entry&distanceExceptional != 0 {
		return meaning{symbol: -1, codeBits: before + int(entry&63)}
	}
	code := before + int(entry>>distanceCodeShift&15)
	return meaning{base: int(entry >> valueShift), codeBits: code, extra: before + int(entry&0xff) - code}
}

// checkTable compares a table with its codes for all inputs.
func checkTable(t *testing.T, table *Table, c codePair) {
	t.Helper()
	literals, distances := meaningsOf(c.literal, literalMeaning), meaningsOf(c.distance, distanceMeaning)
	for bits := range uint32(1 << huffman.MaxBits) {
		if got, want := literalIn(table, bits), literals[bits]; got != want {
			t.Fatalf("literal code %015b is %+v, want %+v\n%v", bits, got, want, c.literal.lengths)
		}
		if got, want := distanceIn(table, bits), distances[bits]; got != want {
			t.Fatalf("distance code %015b is %+v, want %+v\n%v", bits, got, want, c.distance.lengths)
		}
	}
}

// widths are how many subtables of each width there are, and where the last one
// ends.
func widths(table []uint32, primaryBits int, subtable uint32, shift int) (count [maxCodeBits]int, end int) {
	end = 1 << primaryBits
	for _, entry := range table[:1<<primaryBits] {
		if entry&subtable != subtable {
			continue
		}
		width := int(entry>>shift&7 + 1)
		if subtable&literalSubtable != 0 {
			width = int(entry>>shift&literalSubMask + 1)
		}
		count[width]++
		end = max(end, int(entry>>valueShift&subtableMask)+1<<width)
	}
	return count, end
}

func literalWidths(t *Table) ([maxCodeBits]int, int) {
	return widths(t.literal[:], literalBits, literalExceptional|literalSubtable, literalSubShift)
}

func distanceWidths(t *Table) ([maxCodeBits]int, int) {
	return widths(t.distance[:], distanceBits, distanceExceptional|distanceSubtable, distanceSubShift)
}

func TestTables(t *testing.T) {
	rng := seedtest.Rand(t)
	var literalSeen, distanceSeen [maxCodeBits]int
	for i := range 5000 { // enough for every width
		var l huffman.Lengths
		switch i {
		case 0, 1:
			l = fibonacciLengths(i == 0)
		case 2:
			l = largestLengths(rng)
		default:
			l = randomLengths(rng)
		}
		table, ok := NewTable(&l)
		if !ok {
			t.Fatalf("no table of %v", l)
		}
		if i < rounds(1000) {
			checkTable(t, table, newCodePair(&l))
		}
		literals, _ := literalWidths(table)
		distances, _ := distanceWidths(table)
		for width := range literals {
			literalSeen[width] += literals[width]
			distanceSeen[width] += distances[width]
		}
	}
	for width := 1; width <= maxCodeBits-literalBits; width++ {
		if literalSeen[width] == 0 {
			t.Errorf("no subtable of %d bits in any literal table", width)
		}
	}
	for width := 1; width <= maxCodeBits-distanceBits; width++ {
		if distanceSeen[width] == 0 {
			t.Errorf("no subtable of %d bits in any distance table", width)
		}
	}
}

func TestFixedTable(t *testing.T) { checkTable(t, fixedTable, fixedCodes) }

// TestLargestTable checks that the largest tables there can be fit, and are
// those for which there is room: codes of two more symbols each take two more
// entries.
func TestLargestTable(t *testing.T) {
	l := largestLengths(seedtest.Rand(t))
	table, ok := NewTable(&l)
	if !ok {
		t.Fatal("no table")
	}
	if _, end := literalWidths(table); end != literalEntries-2 {
		t.Errorf("the literal table has %d entries", end)
	}
	if _, end := distanceWidths(table); end != distanceEntries-2 {
		t.Errorf("the distance table has %d entries", end)
	}
	checkTable(t, table, newCodePair(&l))
}

// TestNewTableRefuses compares what is refused with a sum: each code takes its
// share of all inputs.
func TestNewTableRefuses(t *testing.T) {
	rng := seedtest.Rand(t)
	refused := 0
	for range rounds(5000) {
		l := randomLengths(rng)
		for range rng.IntN(3) {
			l.Literal[rng.IntN(huffman.LiteralSymbols)] = uint8(rng.IntN(huffman.MaxBits + 1))
		}
		for range rng.IntN(3) {
			l.Distance[rng.IntN(huffman.DistanceSymbols)] = uint8(rng.IntN(huffman.MaxBits + 1))
		}
		want := isCode(l.Literal[:]) && isCode(l.Distance[:])
		if _, ok := NewTable(&l); ok != want {
			t.Fatalf("table is %v, want %v, of %v", ok, want, l)
		}
		if !want {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// isCode reports whether the lengths are those of a complete code, of a single
// code of one bit, or of none.
func isCode(lengths []uint8) bool {
	sum, codes := 0, 0
	for _, n := range lengths {
		if n > 0 {
			sum += 1 << (huffman.MaxBits - n)
			codes++
		}
	}
	return codes == 0 || sum == 1<<huffman.MaxBits || codes == 1 && sum == 1<<(huffman.MaxBits-1)
}

// TestTableAfterAnother checks that nothing is left of the code that a table held
// before.
func TestTableAfterAnother(t *testing.T) {
	rng := seedtest.Rand(t)
	var a alphabet
	var table Table
	for range rounds(200) {
		l := randomLengths(rng)
		if rng.IntN(4) == 0 {
			l = largestLengths(rng)
		}
		if !buildTable(&a, &table, &l) {
			t.Fatalf("no table of %v", l)
		}
		checkTable(t, &table, newCodePair(&l))
	}
}

func buildTable(a *alphabet, table *Table, l *huffman.Lengths) bool {
	a.set(l.Literal[:])
	if !a.build(table.literal[:], &literalLayout) {
		return false
	}
	a.set(l.Distance[:])
	return a.build(table.distance[:], &distanceLayout)
}

func BenchmarkNewTable(b *testing.B) {
	l := randomLengths(seedtest.Fixed(1))
	var a alphabet
	var table Table
	b.ReportAllocs()
	for b.Loop() {
		if !buildTable(&a, &table, &l) {
			b.Fatal("no table")
		}
	}
}

package inflate

import (
	"math/bits"

	"sabrefs/iaa/huffman"
)

const (
	literalBits  = 11 // of a primary table's index
	distanceBits = 8
	precodeBits  = 7
	maxCodeBits  = huffman.MaxBits

	fixedLiterals  = huffman.FixedLiteralSymbols
	fixedDistances = huffman.FixedDistanceSymbols

	// The most entries that a primary table and its subtables can take, for
	// complete codes of at most 15 bits: computed by zlib's enough.c for 288
	// symbols with 11 bits and 32 symbols with 8.
	literalEntries  = 2342
	distanceEntries = 402
)

// An entry of the literal/length table, from its least significant bit:
//
//	 0-7   of a literal: the bits of its code; of anything else: 0
//	 8-13  of anything else: the bits of its code and of its extra bits
//	   14  exceptional: the end of the block, a subtable, or no code at all
//	   15  the end of the block
//	16-24  the literal, or the base of a length
//	25-28  of a length: the bits of its code alone
//	   31  a literal
//
// and of a subtable
//
//	 8-13  the bits of the primary table
//	16-27  its first entry
//	28-29  the bits of its index, less one
//	   30  a subtable
//
// The low byte lets the decoder consume a literal without asking whether it is
// one: for anything else nothing is consumed, and the same entry is found again.
const (
	literalExceptional = 1 << 14
	literalEnd         = 1 << 15
	literalSubtable    = 1 << 30
	literalFlag        = 1 << 31

	consumeShift     = 8
	valueShift       = 16
	lengthMask       = 1<<9 - 1
	lengthCodeShift  = 25
	subtableMask     = 1<<12 - 1
	literalSubShift  = 28
	literalSubMask   = 3
	distanceSubShift = 8
	distanceSubMask  = 7
)

// An entry of the distance table, or of a subtable of it:
//
//	 0-7   the bits of its code and of its extra bits, or of the primary table
//	 8-11  the bits of its code alone, or of the subtable's index, less one
//	   14  a subtable
//	   15  exceptional: a subtable or no code at all
//	16-30  the base of the distance, or the first entry of the subtable
const (
	distanceSubtable    = 1 << 14
	distanceExceptional = 1 << 15
	distanceCodeShift   = 8
)

// layout is what differs between tables when they are built.
type layout struct {
	values   []uint32 // of symbols, without the bits of their codes
	bits     int      // of the primary table's index
	perBit   uint32   // added to a value for each bit of its code
	none     uint32   // the entry of what is no code
	subtable uint32   // the entry of a subtable, without
	subShift int      // the bits of its index, less one
}

var (
	literalLayout = layout{
		values: makeLiteralValues(), bits: literalBits,
		perBit: 1<<consumeShift | 1<<lengthCodeShift, none: literalExceptional,
		subtable: literalExceptional | literalSubtable | literalBits<<consumeShift, subShift: literalSubShift,
	}
	distanceLayout = layout{
		values: makeDistanceValues(), bits: distanceBits,
		perBit: 1 | 1<<distanceCodeShift, none: distanceExceptional,
		subtable: distanceExceptional | distanceSubtable | distanceBits, subShift: distanceSubShift,
	}
	// The code of code lengths has at most 7 bits, and so no subtables.
	precodeLayout = layout{
		values: makePrecodeValues(), bits: precodeBits,
		perBit: 1 | 1<<consumeShift, none: precodeNone,
	}
)

// Table is a pair of codes, ready for lookup.
type Table struct {
	literal  [literalEntries]uint32
	distance [distanceEntries]uint32
}

// makeLiteralValues follows the table of RFC 1951, 3.2.5.
func makeLiteralValues() []uint32 {
	values := make([]uint32, fixedLiterals)
	for literal := range uint32(huffman.EndOfBlock) {
		values[literal] = literalFlag | literal<<valueShift
	}
	values[huffman.EndOfBlock] = literalExceptional | literalEnd
	const first, longest = huffman.EndOfBlock + 1, 285
	length := uint32(3)
	for symbol := first; symbol < longest; symbol++ {
		extraBits := max(0, (symbol-first)/4-1)
		values[symbol] = length<<valueShift | uint32(extraBits)<<consumeShift
		length += 1 << extraBits
	}
	values[longest] = 258 << valueShift
	for symbol := longest + 1; symbol < fixedLiterals; symbol++ {
		values[symbol] = literalExceptional
	}
	return values
}

func makeDistanceValues() []uint32 {
	values := make([]uint32, fixedDistances)
	distance := uint32(1)
	for symbol := range huffman.DistanceSymbols {
		extraBits := max(0, symbol/2-1)
		values[symbol] = distance<<valueShift | uint32(extraBits)
		distance += 1 << extraBits
	}
	for symbol := huffman.DistanceSymbols; symbol < fixedDistances; symbol++ {
		values[symbol] = distanceExceptional
	}
	return values
}

// fixedTable is the table of blocks with fixed codes, RFC 1951, 3.2.6.
var fixedTable = makeFixedTable()

func makeFixedTable() *Table {
	var (
		a alphabet
		t Table
	)
	literals, distances := huffman.FixedLiteral(), huffman.FixedDistance()
	a.set(literals[:])
	a.build(t.literal[:], &literalLayout)
	a.set(distances[:])
	a.build(t.distance[:], &distanceLayout)
	return &t
}

// NewTable builds the table of a pair of codes. It returns false if they are not
// codes that DEFLATE allows.
func NewTable(lengths *huffman.Lengths) (*Table, bool) {
	var a alphabet
	t := new(Table)
	a.set(lengths.Literal[:])
	ok := a.build(t.literal[:], &literalLayout)
	a.set(lengths.Distance[:])
	return t, a.build(t.distance[:], &distanceLayout) && ok
}

// alphabet is a code as it is read: its symbols by the lengths of their codes, in
// order. Its zero value has no symbols.
type alphabet struct {
	count   [maxCodeBits + 1]uint16 // of symbols by length; 0 is those without a code
	symbols [maxCodeBits + 1][fixedLiterals]uint16
}

func (a *alphabet) reset() { a.count = [maxCodeBits + 1]uint16{} }

// add adds the next symbol.
func (a *alphabet) add(symbol int, bits uint8) {
	bits &= maxCodeBits
	n := a.count[bits]
	a.symbols[bits][n] = uint16(symbol)
	a.count[bits] = n + 1
}

func (a *alphabet) set(lengths []uint8) {
	a.reset()
	for symbol, bits := range lengths {
		a.add(symbol, bits)
	}
}

// ofLength are the symbols whose codes have so many bits.
func (a *alphabet) ofLength(bits int) []uint16 {
	bits &= maxCodeBits
	return a.symbols[bits][:a.count[bits]]
}

// longest is the length of the longest code, 0 if there is none.
func (a *alphabet) longest() int {
	longest := maxCodeBits
	for longest > 0 && a.count[longest] == 0 {
		longest--
	}
	return longest
}

// build fills a table with a code. It returns false if that is not complete, nor
// a single code of one bit, nor none at all: then every entry says that there is
// no code.
//
// Codes are taken in the order of their lengths. The table is filled for as many
// bits as the code has, and doubled by a copy whenever codes become longer, so
// that each entry is computed once and copied in long runs.
func (a *alphabet) build(table []uint32, l *layout) bool {
	longest := a.longest()
	space := 0 // codes of the length in hand that are in use
	for n := 1; n <= longest; n++ {
		space = space<<1 + int(a.count[n])
	}
	if longest <= 1 && space < 2 {
		a.fillSingle(table[:1<<l.bits], l)
		return true
	}
	if space != 1<<longest {
		return false
	}
	a.fillPrimary(table, l, longest)
	return true
}

// fillSingle fills a table of one code of one bit, "0", or none.
func (a *alphabet) fillSingle(table []uint32, l *layout) {
	for i := range table {
		table[i] = l.none
	}
	for _, symbol := range a.ofLength(1) {
		for i := 0; i < len(table); i += 2 {
			table[i] = l.entry(symbol, 1)
		}
	}
}

// entry is that of a symbol with a code of so many bits.
func (l *layout) entry(symbol uint16, bits int) uint32 {
	value := l.values[symbol]
	isLiteral := uint32(int32(value) >> 31)
	return value + uint32(bits)*l.perBit + uint32(bits)&isLiteral
}

// fillPrimary fills the primary table, then the subtables of codes that are
// longer than its index.
func (a *alphabet) fillPrimary(table []uint32, l *layout, longest int) {
	code := 0
	size := 1
	for n := 1; n <= l.bits; n++ {
		copy(table[size:2*size], table[:size])
		size *= 2
		code *= 2
		for _, symbol := range a.ofLength(n) {
			table[reversed[code<<(widestBits-n)&(1<<widestBits-1)]] = l.entry(symbol, n)
			code++
		}
	}
	if longest > l.bits {
		a.fillSubtables(table, l, 2*code, longest)
	}
}

// widestBits is the width of the widest primary table.
const widestBits = literalBits

// reversed are the numbers of widestBits bits with their bits in reverse order: a
// code's first bit is its most significant, but the first bit of the input is the
// least significant of an index.
var reversed = makeReversed()

func makeReversed() (table [1 << widestBits]uint16) {
	for i := range table {
		table[i] = bits.Reverse16(uint16(i)) >> (16 - widestBits)
	}
	return table
}

// fillSubtables places codes longer than the primary table's index behind it, from
// the given one on. All codes with the same first bits are in one subtable, which
// is wide enough for the longest of them.
func (a *alphabet) fillSubtables(table []uint32, l *layout, code, longest int) {
	end := 1 << l.bits
	prefix, start := -1, 0
	for n := l.bits + 1; n <= longest; n++ {
		rest := n - l.bits
		symbols := a.ofLength(n)
		for i, symbol := range symbols {
			low := int(bits.Reverse16(uint16(code)) >> (16 - n))
			if first := low & (1<<l.bits - 1); first != prefix {
				subBits := a.subtableBits(len(symbols)-i, n, l.bits, longest)
				prefix, start = first, end
				end += 1 << subBits
				table[prefix] = l.subtable | uint32(start)<<valueShift | uint32(subBits-1)<<l.subShift
			}
			entry := l.entry(symbol, rest)
			for at := start + low>>l.bits; at < end; at += 1 << rest {
				table[at] = entry
			}
			code++
		}
		code *= 2
	}
}

// subtableBits returns the width of the subtable that starts with a code of n bits,
// of which so many are left: it ends where the codes that follow have used up the
// space behind the prefix.
func (a *alphabet) subtableBits(left, n, primaryBits, longest int) int {
	subBits := n - primaryBits
	used := left
	for used < 1<<subBits && primaryBits+subBits < longest {
		subBits++
		used = used<<1 + int(a.count[primaryBits+subBits])
	}
	return subBits
}

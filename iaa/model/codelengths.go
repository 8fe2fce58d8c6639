package model

import (
	"cmp"
	"slices"
)

// The device of the second generation makes codes and headers itself. How it
// does is not known; any code that fits the symbols is right.

// codeLengths fills in the lengths of an optimal prefix code for these counts,
// none above maxBits. There are always at least two codes, because a single one
// would leave bit patterns undefined.
func codeLengths(counts []uint32, maxBits int, lengths []uint8) {
	weights := make([]uint32, len(counts))
	copy(weights, counts)
	for symbol := 0; used(weights) < 2; symbol++ {
		weights[symbol] = max(weights[symbol], 1)
	}
	for !huffman(weights, counts, maxBits, lengths) {
		// Flatter counts give flatter trees; equal ones would fit in any case.
		for i, n := range weights {
			if n > 0 {
				weights[i] = n/2 + 1
			}
		}
	}
}

func used(weights []uint32) int {
	n := 0
	for _, weight := range weights {
		if weight > 0 {
			n++
		}
	}
	return n
}

// node is a symbol or two nodes of a Huffman tree.
type node struct {
	weight      uint64
	left, right int // in the list of nodes; -1 for a symbol
	symbol      int
}

// huffman returns false if the tree is higher than maxBits. Of two symbols of the
// same weight, the one with the higher count gets no longer code.
func huffman(weights, counts []uint32, maxBits int, lengths []uint8) bool {
	var nodes []node
	for symbol, weight := range weights {
		if weight > 0 {
			nodes = append(nodes, node{weight: uint64(weight), left: -1, right: -1, symbol: symbol})
		}
	}
	slices.SortStableFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(counts[a.symbol], counts[b.symbol]))
	})
	// Both the symbols and the inner nodes are in ascending order of weight,
	// so that the lightest is at the head of one of the two.
	symbols := len(nodes)
	nextSymbol, nextInner := 0, symbols
	lightest := func() int {
		if nextInner >= len(nodes) || nextSymbol < symbols && nodes[nextSymbol].weight <= nodes[nextInner].weight {
			nextSymbol++
			return nextSymbol - 1
		}
		nextInner++
		return nextInner - 1
	}
	for range symbols - 1 {
		left, right := lightest(), lightest()
		nodes = append(nodes, node{weight: nodes[left].weight + nodes[right].weight, left: left, right: right})
	}
	clear(lengths)
	return setDepths(nodes, maxBits, lengths)
}

// setDepths goes from the root, which is the last node, towards the symbols.
func setDepths(nodes []node, maxBits int, lengths []uint8) bool {
	depths := make([]int, len(nodes))
	for i, n := range slices.Backward(nodes) {
		if n.left < 0 {
			if depths[i] > maxBits {
				return false
			}
			lengths[n.symbol] = uint8(depths[i])
			continue
		}
		depths[n.left], depths[n.right] = depths[i]+1, depths[i]+1
	}
	return true
}

// canonical fills a table with the codes that belong to the lengths (RFC 1951,
// 3.2.2).
func canonical(lengths []uint8, table []uint32) {
	code := uint32(0)
	for n := uint8(1); n <= maxCodeBits; n++ {
		for symbol, length := range lengths {
			if length == n {
				table[symbol] = uint32(n)<<codeLengthShift | code
				code++
			}
		}
		code <<= 1
	}
}

// makeTables makes the codes for what was counted and, if asked for, writes the
// header of a block with them.
func (enc *encoder) makeTables(kind int) {
	var literal [literalSymbols]uint8
	var distance [distanceSymbols]uint8
	codeLengths(enc.counts.literals[:], maxCodeBits, literal[:])
	codeLengths(enc.counts.distances[:], maxCodeBits, distance[:])
	canonical(literal[:], enc.table.literal[:])
	canonical(distance[:], enc.table.distance[:])
	switch kind {
	case headerOpen, headerTablesOpen:
		enc.writeHeader(0, literal[:], distance[:])
	case headerFinal, headerTablesFinal:
		enc.writeHeader(1, literal[:], distance[:])
	}
}

// headerSymbol is an item of a list of code lengths.
type headerSymbol struct {
	symbol    uint8
	extra     uint8
	extraBits uint8
}

// writeHeader writes RFC 1951, 3.2.7, with the two lists apart.
func (enc *encoder) writeHeader(final uint64, literal, distance []uint8) {
	literal = trimmed(literal, 257)
	distance = trimmed(distance, 1)
	items := append(runs(literal), runs(distance)...)
	var counts [headerSymbols]uint32
	for _, item := range items {
		counts[item.symbol]++
	}
	var lengths [headerSymbols]uint8
	codeLengths(counts[:], 7, lengths[:])
	var table [headerSymbols]uint32
	canonical(lengths[:], table[:])
	codes := headerSymbols
	for codes > 4 && lengths[headerOrder[codes-1]] == 0 {
		codes--
	}
	w := &enc.out
	w.put(final|blockDynamic<<1, blockHeaderBits)
	w.put(uint64(len(literal)-257), 5)
	w.put(uint64(len(distance)-1), 5)
	w.put(uint64(codes-4), 4)
	for _, symbol := range headerOrder[:codes] {
		w.put(uint64(lengths[symbol]), 3)
	}
	for _, item := range items {
		entry := table[item.symbol]
		lenBits := uint(entry >> codeLengthShift)
		w.put(reverseCode(entry&codeMask, lenBits), lenBits)
		w.put(uint64(item.extra), uint(item.extraBits))
	}
}

// trimmed leaves zeros at the end out, down to a shortest list.
func trimmed(lengths []uint8, shortest int) []uint8 {
	n := len(lengths)
	for n > shortest && lengths[n-1] == 0 {
		n--
	}
	return lengths[:n]
}

// runs describes one list of code lengths with repetitions.
func runs(lengths []uint8) []headerSymbol {
	var items []headerSymbol
	for i := 0; i < len(lengths); {
		n := 1
		for i+n < len(lengths) && lengths[i+n] == lengths[i] {
			n++
		}
		items = appendRun(items, lengths[i], n)
		i += n
	}
	return items
}

func appendRun(items []headerSymbol, length uint8, n int) []headerSymbol {
	if length != 0 {
		items = append(items, headerSymbol{symbol: length})
		n--
	}
	for n >= 3 {
		switch {
		case length != 0:
			k := min(n, 6)
			items = append(items, headerSymbol{repeatPrevious, uint8(k - 3), 2})
			n -= k
		case n <= 10:
			items = append(items, headerSymbol{repeatZero, uint8(n - 3), 3})
			n = 0
		default:
			k := min(n, 138)
			items = append(items, headerSymbol{repeatZeroLong, uint8(k - 11), 7})
			n -= k
		}
	}
	for range n {
		items = append(items, headerSymbol{symbol: length})
	}
	return items
}

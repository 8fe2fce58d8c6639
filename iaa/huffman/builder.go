package huffman

import (
	"math/bits"
	"slices"
)

// maxSymbols is the size of the largest alphabet a Builder takes.
const maxSymbols = LiteralSymbols

// Builder finds optimal code lengths. The zero value is ready for use; it holds
// only scratch space.
type Builder struct {
	// sorted are the used symbols in order of frequency: the frequency above
	// symbolBits bits of symbol.
	sorted [maxSymbols]uint64
	// nodes is first a tree, then one list of packages; packages is the other.
	nodes, packages [2 * maxSymbols]uint64
	// fromLeaf tells for each list of packages which entries are symbols.
	fromLeaf [MaxBits][setWords]uint64
}

const (
	symbolBits = 9
	setWords   = (2*maxSymbols + 63) / 64
)

// Build sets the length of every symbol's code such that the sum of frequency
// times length is the least possible with no code longer than maxBits, which
// is at most [MaxBits] and raised where so few bits cannot tell all symbols
// apart. Symbols with the frequency 0 get the length 0. There are at least two
// codes: if fewer symbols are used, the first unused ones get one of one bit.
//
// Both slices have one entry for each symbol, 2 to [LiteralSymbols]. The sum of
// the frequencies must be less than 1<<50.
func (b *Builder) Build(lengths []uint8, freqs []uint32, maxBits int) {
	freqs = freqs[:len(lengths)]
	clear(lengths)
	used := b.sort(freqs)
	if used < 2 {
		b.buildTrivial(lengths, freqs)
		return
	}
	maxBits = min(max(maxBits, bits.Len(uint(used-1))), MaxBits)
	var counts [MaxBits + 1]int
	if !b.countUnlimited(&counts, used, maxBits) {
		b.countLimited(&counts, used, maxBits)
	}
	// The rarest symbols get the longest codes.
	i := 0
	for length := maxBits; length > 0; length-- {
		for range counts[length] {
			lengths[b.sorted[i]&(1<<symbolBits-1)] = uint8(length)
			i++
		}
	}
}

// buildTrivial makes two codes where at most one symbol is used.
func (*Builder) buildTrivial(lengths []uint8, freqs []uint32) {
	missing := 2
	for symbol, freq := range freqs {
		if freq > 0 {
			lengths[symbol] = 1
			missing--
		}
	}
	for symbol := 0; missing > 0; symbol++ {
		if lengths[symbol] == 0 {
			lengths[symbol] = 1
			missing--
		}
	}
}

// sort fills sorted and returns how many symbols are used. Nearly all are rare:
// those are sorted by counting, the few others by comparing.
func (b *Builder) sort(freqs []uint32) int {
	const buckets = 64
	var start [buckets + 1]uint16
	for _, freq := range freqs {
		start[min(freq, buckets-1)+1]++
	}
	start[1] = 0 // of the symbols that are not used
	for i := 1; i <= buckets; i++ {
		start[i] += start[i-1]
	}
	used, frequent := start[buckets], start[buckets-1]
	for symbol, freq := range freqs {
		if freq == 0 {
			continue
		}
		at := &start[min(freq, buckets-1)]
		b.sorted[*at] = uint64(freq)<<symbolBits | uint64(symbol)
		*at++
	}
	slices.Sort(b.sorted[frequent:used])
	return int(used)
}

// countUnlimited counts how many codes of each length an optimal code has. It
// returns false if one would be longer than maxBits. The algorithm is that of
// Moffat and Katajainen, "In-place calculation of minimum-redundancy codes".
func (b *Builder) countUnlimited(counts *[MaxBits + 1]int, used, maxBits int) bool {
	b.buildTree(used)
	tree := b.nodes[:used-1]
	// From parents to depths, the root being the last.
	tree[used-2] = 0
	for i := used - 3; i >= 0; i-- {
		tree[i] = tree[tree[i]] + 1
	}
	if tree[0] >= uint64(maxBits) {
		return false
	}
	free, i := 1, used-2
	for depth := 0; free > 0; depth++ {
		inner := 0
		for i >= 0 && tree[i] == uint64(depth) {
			inner++
			i--
		}
		counts[depth] = free - inner
		free = 2 * inner
	}
	return true
}

// buildTree makes the inner nodes of a Huffman tree, each holding first its
// weight, then the index of its parent.
func (b *Builder) buildTree(used int) {
	leaves := b.sorted[:used]
	tree := b.nodes[:used-1]
	leaf, inner := 0, 0
	for next := range tree {
		var weight uint64
		for range 2 {
			if leaf >= used || inner < next && tree[inner] < leaves[leaf]>>symbolBits {
				weight += tree[inner]
				tree[inner] = uint64(next)
				inner++
			} else {
				weight += leaves[leaf] >> symbolBits
				leaf++
			}
		}
		tree[next] = weight
	}
}

// countLimited counts how many codes of each length the best code has that
// keeps to maxBits. The algorithm is package-merge: Larmore and Hirschberg, "A
// fast algorithm for optimal length-limited Huffman codes".
//
// There is one list for each length. It has the symbols and the packages, pairs
// of neighbors in the list before, in order of weight. Each time that a symbol
// is in the part of a list that is taken, its code grows by one bit.
func (b *Builder) countLimited(counts *[MaxBits + 1]int, used, maxBits int) {
	list, next := b.nodes[:2*used-2], b.packages[:2*used-2]
	for i := range used {
		list[i] = b.sorted[i] >> symbolBits
	}
	length := used
	for level := 1; level < maxBits; level++ {
		length = b.mergePackages(next, list[:length], level, used)
		list, next = next, list
	}
	// Of the last list 2*used-2 entries are taken, of each one before it those
	// that are in taken packages. The symbols taken from the list that is n-th
	// from the end are those with codes of at least n bits.
	taken, longer := 2*used-2, 0
	for level := range maxBits {
		symbols := taken
		if level < maxBits-1 {
			symbols = countOnes(&b.fromLeaf[maxBits-1-level], taken)
		}
		counts[level] = longer - symbols // of codes of exactly level bits
		longer = symbols
		taken = 2 * (taken - symbols)
	}
	counts[0] = 0
	counts[maxBits] = longer
}

// mergePackages writes the list that follows previous and returns its length.
func (b *Builder) mergePackages(list, previous []uint64, level, used int) int {
	leaves := b.sorted[:used]
	length := min(used+len(previous)/2, len(list))
	fromLeaf := &b.fromLeaf[level]
	clear(fromLeaf[:])
	leaf, pair := 0, 0
	for i := range list[:length] {
		weight := ^uint64(0)
		if pair+1 < len(previous) {
			weight = previous[pair] + previous[pair+1]
		}
		if leaf < used && leaves[leaf]>>symbolBits <= weight {
			list[i] = leaves[leaf] >> symbolBits
			fromLeaf[i/64] |= 1 << (i % 64)
			leaf++
			continue
		}
		list[i] = weight
		pair += 2
	}
	return length
}

// countOnes counts the ones among the first n bits.
func countOnes(set *[setWords]uint64, n int) (ones int) {
	for _, word := range set[:n/64] {
		ones += bits.OnesCount64(word)
	}
	if n%64 > 0 {
		ones += bits.OnesCount64(set[n/64] << (64 - n%64))
	}
	return ones
}

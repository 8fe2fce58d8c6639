package densezstd

import (
	"github.com/klauspost/compress/huff0"
)

// The types of a literals section (RFC 8878, section 3.1.1.3.1.1).
const (
	literalsRaw      = 0
	literalsRLE      = 1
	literalsHuffman  = 2
	literalsTreeless = 3 // the Huffman table of the block before
)

const (
	// minHuffman is how many literals may be worth a Huffman table.
	minHuffman = 32
	// maxOneStream is how many literals one stream may hold; more are cut
	// into four, which decode side by side.
	maxOneStream = 1023
)

// literalCoder writes the literals sections of a frame's blocks.
type literalCoder struct {
	// current holds the Huffman table of the last block that had one, if
	// repeatable; next the one of a block that may still be given up.
	current, next *huff0.Scratch
	repeatable    bool
	section       uint8
	tree          []byte
}

func newLiteralCoder() literalCoder {
	return literalCoder{
		current: &huff0.Scratch{Reuse: huff0.ReusePolicyMust},
		next:    &huff0.Scratch{Reuse: huff0.ReusePolicyMust},
	}
}

// commit makes the table of the last section the one to repeat.
func (c *literalCoder) commit() {
	if c.section == literalsHuffman {
		c.current, c.next = c.next, c.current
		c.repeatable = true
	}
}

// append writes the section of literals with these counts.
func (c *literalCoder) append(dst, literals []byte, counts *[256]uint32) []byte {
	c.section = literalsRaw
	if len(literals) < minHuffman && !c.repeatable || len(literals) < 6 {
		return appendPlainLiterals(dst, literalsRaw, literals, len(literals))
	}
	if counts[literals[0]] == uint32(len(literals)) {
		c.section = literalsRLE
		return appendPlainLiterals(dst, literalsRLE, literals[:1], len(literals))
	}
	packed, ok := c.compress(literals, counts)
	if !ok || 5+len(c.tree)+len(packed) >= len(literals) {
		c.section = literalsRaw
		return appendPlainLiterals(dst, literalsRaw, literals, len(literals))
	}
	dst = appendHuffmanHeader(dst, c.section, len(literals), len(c.tree)+len(packed))
	dst = append(dst, c.tree...)
	return append(dst, packed...)
}

// compress chooses between a new table and the last one.
func (c *literalCoder) compress(literals []byte, counts *[256]uint32) ([]byte, bool) {
	table, err := c.next, c.next.BuildCTable(counts)
	if err == nil {
		c.tree, err = c.next.AppendTable(c.tree[:0])
	}
	c.section = literalsHuffman
	if c.repeatable {
		old := c.current.EstimateSize(counts)
		if old >= 0 && (err != nil || old <= len(c.tree)+c.next.EstimateSize(counts)) {
			c.section, table, err = literalsTreeless, c.current, nil
			c.tree = c.tree[:0]
		}
	}
	if err != nil {
		return nil, false
	}
	var packed []byte
	if len(literals) <= maxOneStream {
		packed, _, err = huff0.Compress1X(literals, table)
	} else {
		packed, _, err = huff0.Compress4X(literals, table)
	}
	return packed, err == nil
}

// appendPlainLiterals writes a raw or RLE section of size bytes.
func appendPlainLiterals(dst []byte, section uint8, content []byte, size int) []byte {
	switch {
	case size < 1<<5:
		dst = append(dst, section|byte(size)<<3)
	case size < 1<<12:
		dst = append(dst, section|1<<2|byte(size)<<4, byte(size>>4))
	default:
		dst = append(dst, section|3<<2|byte(size)<<4, byte(size>>4), byte(size>>12))
	}
	return append(dst, content...)
}

// appendHuffmanHeader writes the header of size literals that became packed
// bytes.
func appendHuffmanHeader(dst []byte, section uint8, size, packed int) []byte {
	head := uint64(section) | uint64(size)<<4
	switch {
	case size <= maxOneStream:
		head |= uint64(packed) << 14
		return append(dst, byte(head), byte(head>>8), byte(head>>16))
	case size < 1<<14:
		head |= 2<<2 | uint64(packed)<<18
		return append(dst, byte(head), byte(head>>8), byte(head>>16), byte(head>>24))
	default:
		head |= 3<<2 | uint64(packed)<<22
		return append(dst, byte(head), byte(head>>8), byte(head>>16), byte(head>>24), byte(head>>32))
	}
}

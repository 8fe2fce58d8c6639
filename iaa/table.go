package iaa

import (
	"fmt"

	"sabrefs/iaa/deflate"
	"sabrefs/iaa/huffman"
	"sabrefs/iaa/inflate"
)

// Table is a pair of Huffman codes that many streams share, ready for use. A
// stream with a Table has no header: it is the codes of its symbols, then that
// of the end of block. A Table never changes; any number of goroutines may use
// it.
type Table struct {
	decoding *inflate.Table
	encoding *deflate.Shared
	prefix   []byte
}

// NewTable prepares a pair of codes. The error is of class huffman.ErrLengths.
func NewTable(lengths *huffman.Lengths) (*Table, error) {
	encoding, err := deflate.NewShared(lengths)
	if err != nil {
		return nil, err
	}
	decoding, ok := inflate.NewTable(lengths)
	if !ok {
		return nil, fmt.Errorf("%w: not a complete code", huffman.ErrLengths)
	}
	prefix, err := huffman.Prefix(lengths)
	if err != nil {
		return nil, err
	}
	return &Table{decoding, encoding, prefix}, nil
}

// Prefix are the bytes that, put before a stream with this table, make it one of
// RFC 1951 that any decoder reads. The caller must not change them.
func (t *Table) Prefix() []byte { return t.prefix }

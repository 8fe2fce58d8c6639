package huffman

import "fmt"

// MaxPrefixBytes is how long a [Prefix] may be: what the accelerator writes out
// before the first symbol is held in 256 bytes.
const MaxPrefixBytes = 256

// An empty block of the fixed code that is not the last: the type of the block
// and the end-of-block code.
const (
	emptyFixed     = 1 << 1
	emptyFixedBits = 3 + 7
)

// emptyLengths are the codes of the shortest dynamic block that holds nothing.
var emptyLengths = func() (l Lengths) {
	l.Literal[0], l.Literal[EndOfBlock] = 1, 1
	l.Distance[0], l.Distance[1] = 1, 1
	return l
}()

// Prefix returns the bytes that, put before a stream without a header coded
// with these lengths, make it one of RFC 1951. They are the header of a final
// block and end with it exactly at the end of a byte. The error is of the class
// [ErrLengths].
//
// Few headers end there by themselves. A header may announce lengths of 0 that
// it need not, 3 bits each, and be preceded by empty blocks, 10 bits each for
// the fixed code. Where no 3 bits can be added, because every length is
// announced already, and their number is odd, an empty dynamic block helps.
func Prefix(lengths *Lengths) ([]byte, error) {
	if err := lengths.Check(); err != nil {
		return nil, err
	}
	var h Header
	h.Set(lengths)
	pad := choosePadding(h.Bits(), lengthSymbols-h.plan().announce)
	buf := make([]byte, MaxPrefixBytes)
	var w BitWriter
	w.Reset(buf)
	if pad.dynamicBlock {
		writeOddBlock(&w)
	}
	for range pad.fixedBlocks {
		w.Write(emptyFixed, emptyFixedBits)
	}
	h.write(&w, true, h.plan().announce+pad.lengths)
	n, ok := w.Close()
	if !ok {
		// Not even five bits for each of 316 lengths need so much.
		return nil, fmt.Errorf("%w: their header has more than %d bytes", ErrLengths, MaxPrefixBytes)
	}
	return buf[:n:n], nil
}

// padding is what makes a header end with a byte.
type padding struct {
	lengths      int // announced without need
	fixedBlocks  int
	dynamicBlock bool
}

// choosePadding returns the padding of the fewest bits.
func choosePadding(headerBits, spareLengths int) (best padding) {
	if spareLengths == 0 && headerBits%2 == 1 {
		best.dynamicBlock = true
		headerBits += oddBlockBits
	}
	least := int(^uint(0) >> 1)
	for lengths := range spareLengths + 1 {
		for blocks := range 4 {
			bits := 3*lengths + emptyFixedBits*blocks
			if (headerBits+bits)%8 == 0 && bits < least {
				least = bits
				best.lengths, best.fixedBlocks = lengths, blocks
			}
		}
	}
	return best
}

// oddBlockBits is the size of the block that writeOddBlock writes.
const oddBlockBits = 95

// writeOddBlock writes an empty dynamic block with an odd number of bits.
func writeOddBlock(w *BitWriter) {
	var h Header
	h.Set(&emptyLengths)
	h.write(w, false, lengthSymbols)
	w.Write(1, 1) // end of the block, the second of two codes of one bit
}

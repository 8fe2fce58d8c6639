package deflate

import (
	"errors"
	"fmt"
	"strings"

	"sabrefs/iaa/huffman"
)

// inspection is what a strict reader finds in a stream.
type inspection struct {
	out     []byte
	blocks  []blockKind
	longest int // code of a dynamic block, in bits
	far     int // the greatest distance
	script  []string
}

// inspector reads a stream as the accelerator does, bit by bit, and refuses
// what the package promises not to write. It is slow and simple on purpose.
type inspector struct {
	inspection
	src   []byte
	pos   int  // in bits
	notes bool // write a script
}

var errInspect = errors.New("inspection")

func inspect(stream []byte) (*inspection, error) {
	r := &inspector{src: stream}
	return r.run()
}

func (r *inspector) run() (*inspection, error) {
	for final := false; !final; {
		begin := len(r.out)
		final = r.bits(1) == 1
		kind := blockKind(r.bits(2))
		r.blocks = append(r.blocks, kind)
		r.note("%s%s", map[blockKind]string{0: "stored", 1: "fixed", 2: "dynamic"}[kind], map[bool]string{true: " final"}[final])
		if err := r.block(kind); err != nil {
			return nil, fmt.Errorf("%w: block %d, bit %d: %w", errInspect, len(r.blocks)-1, r.pos, err)
		}
		if len(r.out) == begin && (len(r.out) > 0 || !final) {
			return nil, fmt.Errorf("%w: block %d is empty", errInspect, len(r.blocks)-1)
		}
	}
	if (r.pos+7)/8 != len(r.src) {
		return nil, fmt.Errorf("%w: ends at bit %d of %d bytes", errInspect, r.pos, len(r.src))
	}
	if rest := r.bits(8*len(r.src) - r.pos); rest != 0 {
		return nil, fmt.Errorf("%w: padding is %b", errInspect, rest)
	}
	return &r.inspection, nil
}

func (r *inspector) note(format string, args ...any) {
	if r.notes {
		r.script = append(r.script, fmt.Sprintf(format, args...))
	}
}

func (r *inspector) bits(n int) (value int) {
	for i := range n {
		if r.pos/8 < len(r.src) {
			value |= int(r.src[r.pos/8]>>(r.pos%8)&1) << i
		}
		r.pos++
	}
	return value
}

func (r *inspector) block(kind blockKind) error {
	switch kind {
	case blockStored:
		return r.stored()
	case blockFixed:
		var literal [288]uint8
		copy(literal[:], fixedLengths.Literal[:])
		literal[286], literal[287] = 8, 8
		return r.tokens(newDecoder(literal[:]), newDecoder(fixedLengths.Distance[:]))
	case blockDynamic:
		return r.dynamic()
	}
	return errors.New("type 3")
}

func (r *inspector) stored() error {
	for r.pos%8 != 0 {
		if r.bits(1) != 0 {
			return errors.New("padding is not zero")
		}
	}
	n := r.bits(16)
	if inverse := r.bits(16); n^0xffff != inverse {
		return errors.New("LEN and NLEN differ")
	}
	r.note("%d bytes", n)
	for range n {
		r.out = append(r.out, byte(r.bits(8)))
	}
	if r.pos > 8*len(r.src) {
		return errors.New("ends early")
	}
	return nil
}

var inspectOrder = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (r *inspector) dynamic() error {
	literals, distances, announced := r.bits(5)+257, r.bits(5)+1, r.bits(4)+4
	if literals > huffman.LiteralSymbols || distances > huffman.DistanceSymbols {
		return fmt.Errorf("%d literals and %d distances", literals, distances)
	}
	lengths := make([]uint8, 19)
	for _, symbol := range inspectOrder[:announced] {
		lengths[symbol] = uint8(r.bits(3))
	}
	decoder := newDecoder(lengths)
	// Each list for itself: a run that crosses the border is an error.
	literal, err := r.list(decoder, literals)
	if err != nil {
		return fmt.Errorf("literals: %w", err)
	}
	distance, err := r.list(decoder, distances)
	if err != nil {
		return fmt.Errorf("distances: %w", err)
	}
	for _, list := range [][]uint8{lengths, literal, distance} {
		if err := checkTree(list); err != nil {
			return err
		}
	}
	for _, list := range [][]uint8{literal, distance} {
		for _, length := range list {
			r.longest = max(r.longest, int(length))
		}
	}
	return r.tokens(newDecoder(literal), newDecoder(distance))
}

// checkTree demands at least two codes and a complete code.
func checkTree(lengths []uint8) error {
	codes, sum := 0, 0
	for _, length := range lengths {
		if length > 0 {
			codes++
			sum += 1 << 15 >> length
		}
	}
	if codes < 2 || sum != 1<<15 {
		return fmt.Errorf("%d codes with a Kraft sum of %d/32768", codes, sum)
	}
	return nil
}

func (r *inspector) list(decoder *decoder, count int) (list []uint8, err error) {
	for len(list) < count {
		symbol, err := decoder.symbol(r)
		if err != nil {
			return nil, err
		}
		value, times := uint8(symbol), 1
		switch symbol {
		case 16:
			if len(list) == 0 {
				return nil, errors.New("begins with a repeat")
			}
			value, times = list[len(list)-1], 3+r.bits(2)
		case 17:
			value, times = 0, 3+r.bits(3)
		case 18:
			value, times = 0, 11+r.bits(7)
		}
		for range times {
			list = append(list, value)
		}
	}
	if len(list) > count {
		return nil, errors.New("a run crosses the end")
	}
	return list, nil
}

func (r *inspector) tokens(literal, distance *decoder) error {
	for {
		symbol, err := literal.symbol(r)
		switch {
		case err != nil:
			return err
		case symbol < 256:
			r.out = append(r.out, byte(symbol))
			r.note("%+q", string([]byte{byte(symbol)}))
		case symbol == 256:
			r.note("end")
			return nil
		case symbol > 285:
			return fmt.Errorf("symbol %d", symbol)
		default:
			i := symbol - firstLengthSymbol
			length := int(lengthBase[i]) + r.bits(int(lengthExtraBits[i]))
			if err := r.match(length, distance); err != nil {
				return err
			}
		}
	}
}

func (r *inspector) match(length int, decoder *decoder) error {
	symbol, err := decoder.symbol(r)
	if err != nil {
		return err
	}
	distance := symbol + 1
	if symbol > 3 {
		extra := symbol/2 - 1
		distance = (2+symbol%2)<<extra + r.bits(extra) + 1
	}
	if distance > 4096 || distance > len(r.out) || length > maxMatch {
		return fmt.Errorf("%d bytes from a distance of %d at %d", length, distance, len(r.out))
	}
	r.far = max(r.far, distance)
	r.note("%d@%d", length, distance)
	for range length {
		r.out = append(r.out, r.out[len(r.out)-distance])
	}
	return nil
}

// decoder has how many codes of each length there are, and the symbols in the
// order of their codes.
type decoder struct {
	counts  [16]int
	symbols []int
}

func newDecoder(lengths []uint8) *decoder {
	d := new(decoder)
	for length := 1; length <= 15; length++ {
		for symbol, l := range lengths {
			if int(l) == length {
				d.counts[length]++
				d.symbols = append(d.symbols, symbol)
			}
		}
	}
	return d
}

func (d *decoder) symbol(r *inspector) (int, error) {
	code, first, index := 0, 0, 0
	for length := 1; length <= 15 && r.pos < 8*len(r.src); length++ {
		code |= r.bits(1)
		if code-first < d.counts[length] {
			return d.symbols[index+code-first], nil
		}
		index += d.counts[length]
		first = (first + d.counts[length]) << 1
		code <<= 1
	}
	return 0, errors.New("no such code")
}

func (i *inspection) String() string { return strings.Join(i.script, " ") }

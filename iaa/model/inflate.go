package model

import "sync"

// stage is where in the stream a decoder is.
type stage uint8

const (
	atHeader stage = iota
	inStored
	inCoded
	atEnd // stopped behind an end-of-block
)

// decoder decodes a stream of blocks (RFC 1951, 3.2.3) under the device's
// rules. It can stop anywhere between two symbols and go on in another job.
type decoder struct {
	in  bitReader
	out window

	mode uint16 // decompression flags
	// wholeSymbols leaves a symbol whose output does not fit to the next job
	// instead of filling the destination with a part of it.
	wholeSymbols bool
	// goesOn means that there is more input for the next job.
	goesOn bool
	// oddXOR is whether the job before ended in the middle of a word.
	oddXOR bool

	stage       stage
	final       bool // of the current block, or of the last one
	endsAtBlock bool // the last symbol was an end-of-block
	storedLeft  int  // bytes

	// The codes of the current block: the fixed ones or own.
	literal, distance       *prefixCode
	ownLiteral, ownDistance prefixCode
	header                  prefixCode

	// sawIncomplete is set by codes that leave bit patterns undefined, which
	// other decoders refuse.
	sawIncomplete bool
}

// begin starts a job at the start of a stream. A nil destination suppresses
// output.
func (d *decoder) begin(src, dst []byte, limitBytes int, mode uint16) {
	d.mode = mode
	d.wholeSymbols, d.goesOn = false, false
	d.stage, d.final, d.endsAtBlock, d.storedLeft = atHeader, false, false, 0
	d.sawIncomplete = false
	d.in.reset(nil, 0, src, ignoredBits(mode))
	d.out.reset(dst, limitBytes)
	d.out.sums.reset(false, 0, 0)
}

// run decodes until the stream, the input or the room for output ends.
func (d *decoder) run() outcome {
	var end outcome
	for end.status == StatusPending {
		switch d.stage {
		case atHeader:
			end = d.readHeader()
		case inStored:
			end = d.copyStored()
		case inCoded:
			end = d.decodeCoded()
		case atEnd:
			end = outcome{status: StatusSuccess}
		}
	}
	d.out.flush()
	return end
}

// inputEnded is the outcome where the input ends between or inside symbols.
func (d *decoder) inputEnded() outcome {
	if d.mode&decompressCheck != 0 {
		wanted := d.endsAtBlock && (d.mode&decompressFinalOnly == 0 || d.final)
		if !wanted {
			return dataError(CodeNoEndOfBlock)
		}
	}
	return outcome{status: StatusSuccess}
}

// endBlock goes on to the next block, or stops.
func (d *decoder) endBlock() outcome {
	d.endsAtBlock = true
	d.stage = atHeader
	if d.mode&decompressStop != 0 && (d.final || d.mode&decompressFinalOnly == 0) {
		d.stage = atEnd
	}
	return outcome{}
}

// overflow is the outcome where output does not fit.
func (*decoder) overflow() outcome { return outcome{status: StatusOutputOverflow} }

func (d *decoder) copyStored() outcome {
	for d.storedLeft > 0 {
		d.in.fill()
		if d.in.count < 8 {
			return d.inputEnded()
		}
		if d.out.left == 0 {
			return d.overflow()
		}
		d.endsAtBlock = false
		d.out.literal(byte(d.in.take(8)))
		d.storedLeft--
	}
	return d.endBlock()
}

// decodeCoded decodes symbols of a block with prefix codes. A symbol has at
// most 15+5+15+13 bits, so that filling once for each is enough, and a cut
// symbol can be put back.
func (d *decoder) decodeCoded() outcome {
	for {
		if d.in.count < 48 {
			d.in.fill()
		}
		held, count := d.in.held, d.in.count
		symbol := d.literal.decode(&d.in)
		switch {
		case uint(symbol) < endOfBlock:
			if d.out.left == 0 {
				d.in.held, d.in.count = held, count
				return d.overflow()
			}
			d.out.literal(byte(symbol))
			d.endsAtBlock = false
		case symbol == endOfBlock:
			return d.endBlock()
		default:
			end, whole := d.decodeMatch(symbol)
			if !whole {
				d.in.held, d.in.count = held, count
			}
			if end.status != StatusPending {
				return end
			}
		}
	}
}

// decodeMatch goes on behind the literal/length symbol. It reports whether the
// symbol was used up.
func (d *decoder) decodeMatch(symbol int) (end outcome, whole bool) {
	switch {
	case symbol == symbolCut:
		return d.inputEnded(), false
	case symbol == symbolUndefined:
		return dataError(CodeBadLiteral), false
	case symbol >= literalSymbols:
		return dataError(CodeBadLength), false
	}
	symbol -= endOfBlock + 1
	n, ok := d.withExtraBits(lengthBase[symbol], lengthExtraBits[symbol])
	if !ok {
		return d.inputEnded(), false
	}
	symbol = d.distance.decode(&d.in)
	switch {
	case symbol == symbolCut:
		return d.inputEnded(), false
	case symbol == symbolUndefined:
		return dataError(CodeBadDistance), false
	case symbol >= distanceSymbols:
		return dataError(CodeDistanceTooFar), false
	}
	distance, ok := d.withExtraBits(distanceBase[symbol], distanceExtraBits[symbol])
	if !ok {
		return d.inputEnded(), false
	}
	return d.copyMatch(n, distance)
}

func (d *decoder) withExtraBits(base uint16, extraBits uint8) (int, bool) {
	if d.in.count < uint(extraBits) {
		return 0, false
	}
	return int(base) + int(d.in.take(uint(extraBits))), true
}

func (d *decoder) copyMatch(n, distance int) (end outcome, whole bool) {
	switch {
	case distance > historyBytes:
		return dataError(CodeDistanceTooFar), false
	case distance > d.out.end-d.out.oldest:
		return dataError(CodeDistanceBeforeStart), false
	case n > d.out.left:
		if !d.wholeSymbols {
			d.out.match(d.out.left, distance)
		}
		return d.overflow(), false
	}
	d.out.match(n, distance)
	d.endsAtBlock = false
	return outcome{}, true
}

// fixedCodes are those of RFC 1951, 3.2.6.
var fixedCodes = sync.OnceValue(func() *[2]prefixCode {
	literal, distance := fixedLengths()
	var codes [2]prefixCode
	codes[0].build(literal[:])
	codes[1].build(distance[:])
	return &codes
})

package model

// Block types, RFC 1951, 3.2.3.
const (
	blockStored  = 0
	blockFixed   = 1
	blockDynamic = 2
)

const blockHeaderBits = 3

// readHeader reads what is before a block's data. A header that the input does
// not have whole is left to the next job, if there will be one.
func (d *decoder) readHeader() outcome {
	before, endsAtBlock, final := d.in, d.endsAtBlock, d.final
	end := d.parseHeader()
	if end.code == CodeHeaderTruncated && d.goesOn && before.leftBits() <= stateMaxInputBits {
		d.in, d.endsAtBlock, d.final = before, endsAtBlock, final
		return outcome{status: StatusSuccess}
	}
	return end
}

// parseHeader takes what is left of the last byte behind a final block for
// padding and no header.
func (d *decoder) parseHeader() outcome {
	d.in.fill()
	if d.in.count < blockHeaderBits || d.endsAtBlock && d.final && d.in.count < 8 {
		return d.inputEnded()
	}
	d.endsAtBlock = false
	d.final = d.in.take(1) != 0
	switch d.in.take(2) {
	case blockStored:
		return d.readStoredHeader()
	case blockFixed:
		d.literal, d.distance = &fixedCodes()[0], &fixedCodes()[1]
		d.stage = inCoded
		return outcome{}
	case blockDynamic:
		return d.readDynamicHeader()
	default:
		return dataError(CodeBlockType)
	}
}

// readStoredHeader reads RFC 1951, 3.2.4.
func (d *decoder) readStoredHeader() outcome {
	d.in.alignToByte()
	d.in.fill()
	if d.in.count < 32 {
		return dataError(CodeHeaderTruncated)
	}
	length := d.in.take(16)
	if complement := d.in.take(16); length != ^complement&0xffff {
		return dataError(CodeStoredLength)
	}
	d.storedLeft = int(length)
	d.stage = inStored
	return outcome{}
}

// headerOrder is the order of the lengths of the code for code lengths, RFC
// 1951, 3.2.7.
var headerOrder = [headerSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readDynamicHeader reads RFC 1951, 3.2.7, with one rule more: the lengths of
// the two codes are two lists, and no repetition goes from one into the other.
func (d *decoder) readDynamicHeader() outcome {
	d.in.fill()
	if d.in.count < 14 {
		return dataError(CodeHeaderTruncated)
	}
	literals := int(d.in.take(5)) + 257
	distances := int(d.in.take(5)) + 1
	headerCodes := int(d.in.take(4)) + 4
	switch {
	case literals > literalSymbols:
		return dataError(CodeTooManyLiterals)
	case distances > distanceSymbols:
		return dataError(CodeTooManyDistances)
	}
	if end := d.readHeaderCode(headerCodes); end.failed() {
		return end
	}
	if end := d.readLiteralLengths(literals); end.failed() {
		return end
	}
	return d.readDistanceLengths(distances)
}

func (d *decoder) readHeaderCode(codes int) outcome {
	var lengths [headerSymbols]uint8
	for _, symbol := range headerOrder[:codes] {
		d.in.fill()
		if d.in.count < 3 {
			return dataError(CodeHeaderTruncated)
		}
		lengths[symbol] = uint8(d.in.take(3))
	}
	if !d.header.build(lengths[:]) {
		return dataError(CodeHeaderOversubscribed)
	}
	d.sawIncomplete = d.sawIncomplete || d.header.incomplete
	return outcome{}
}

func (d *decoder) readLiteralLengths(count int) outcome {
	var buf [literalSymbols]uint8
	lengths := buf[:count]
	if end := d.readLengths(lengths, CodeLiteralRepeatFirst, CodeLiteralCount); end.failed() {
		return end
	}
	if isZero(lengths) {
		return dataError(CodeNoLiteralCode)
	}
	if !d.ownLiteral.build(lengths) {
		return dataError(CodeLiteralOversubscribed)
	}
	d.sawIncomplete = d.sawIncomplete || d.ownLiteral.incomplete
	return outcome{}
}

func (d *decoder) readDistanceLengths(count int) outcome {
	var buf [distanceSymbols]uint8
	lengths := buf[:count]
	if end := d.readLengths(lengths, CodeDistanceRepeatFirst, CodeDistanceCount); end.failed() {
		return end
	}
	if !d.ownDistance.build(lengths) {
		return dataError(CodeDistanceOversubscribed)
	}
	d.sawIncomplete = d.sawIncomplete || d.ownDistance.incomplete
	d.literal, d.distance = &d.ownLiteral, &d.ownDistance
	d.stage = inCoded
	return outcome{}
}

func isZero(lengths []uint8) bool {
	for _, n := range lengths {
		if n != 0 {
			return false
		}
	}
	return true
}

// Symbols of the code for code lengths that are no lengths.
const (
	repeatPrevious = 16
	repeatZero     = 17
	repeatZeroLong = 18
)

// readLengths reads one list of code lengths. repeatFirst and beyond are the
// codes for a list that begins with a repetition or is too long.
func (d *decoder) readLengths(lengths []uint8, repeatFirst, beyond ErrorCode) outcome {
	for i := 0; i < len(lengths); {
		d.in.fill()
		symbol := d.header.decode(&d.in)
		length, count := uint8(0), 1
		switch {
		case symbol == symbolCut:
			return dataError(CodeHeaderTruncated)
		case symbol == symbolUndefined:
			return dataError(CodeUndefinedHeaderSymbol)
		case symbol < repeatPrevious:
			length = uint8(symbol)
		case symbol == repeatPrevious && i == 0:
			return dataError(repeatFirst)
		default:
			if symbol == repeatPrevious {
				length = lengths[i-1]
			}
			base, extraBits := repetition(symbol)
			if d.in.count < extraBits {
				return dataError(CodeHeaderTruncated)
			}
			count = base + int(d.in.take(extraBits))
		}
		if count > len(lengths)-i {
			return dataError(beyond)
		}
		for range count {
			lengths[i] = length
			i++
		}
	}
	return outcome{}
}

// repetition is how often at least a symbol repeats, and how many bits say how
// much more often.
func repetition(symbol int) (base int, extraBits uint) {
	switch symbol {
	case repeatPrevious:
		return 3, 2
	case repeatZero:
		return 3, 3
	default:
		return 11, 7
	}
}

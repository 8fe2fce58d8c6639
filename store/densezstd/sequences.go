package densezstd

import "math/bits"

// sequence is one step of the decoder: copy litLen literals, then matchLen
// bytes from offset bytes back.
type sequence struct {
	litLen, matchLen, offset uint32
}

// codedSeq is a sequence as the format spells it (RFC 8878, section
// 3.1.1.3.2.1): every value is a code, which an FSE table compresses, and
// extra bits below it, which are stored as they are.
type codedSeq struct {
	litLen                   uint32
	matchBase                uint32 // match length - minMatchFormat
	offsetValue              uint32 // 1..3 repeats an offset, above is offset+3
	litCode, matchCode, offC uint8
}

const (
	// minMatchFormat is the shortest match that the format can express.
	minMatchFormat = 3
	// maxMatchLen keeps every match far below the 128 KiB of a block, so that
	// a block can end between any two sequences.
	maxMatchLen = 1<<16 - 1

	maxLitCode    = 35
	maxMatchCode  = 52
	maxOffsetCode = 31
	// repeatCodes is how many offset values mean a recent offset.
	repeatCodes = 3
)

// repeats are the three most recent offsets, the latest first (section
// 3.1.1.5).
type repeats [repeatCodes]uint32

// firstRepeats is what every frame starts with.
var firstRepeats = repeats{1, 4, 8}

// value returns the offset value of offset after litLen literals. After none,
// the latest offset cannot continue (it would have been one longer match), so
// the values 1 to 3 mean the others and the latest less one.
func (r *repeats) value(offset, litLen uint32) uint32 {
	if litLen != 0 {
		switch offset {
		case r[0]:
			return 1
		case r[1]:
			return 2
		case r[2]:
			return 3
		}
		return offset + repeatCodes
	}
	switch offset {
	case r[1]:
		return 1
	case r[2]:
		return 2
	case r[0] - 1:
		return 3
	}
	return offset + repeatCodes
}

// use updates the offsets after one with this value was used.
func (r *repeats) use(offset, value, litLen uint32) {
	index := value - 1
	if litLen == 0 {
		index++
	}
	switch {
	case value > repeatCodes || index >= 2:
		r[0], r[1], r[2] = offset, r[0], r[1]
	case index == 1:
		r[0], r[1] = offset, r[0]
	}
}

// litCodes are the codes of literal lengths below 64, matchCodes those of
// matchBase below 128; from there on, each power of two has a code.
var (
	litCodes   = [64]uint8(codesBelow(64, litBases[:]))
	matchCodes = [128]uint8(codesBelow(128, matchBases[:]))
)

// litBases and matchBases are the smallest value of each code (section
// 3.1.1.3.2.1.1), the latter less minMatchFormat.
var (
	litBases = [maxLitCode + 1]uint32{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512,
		1024, 2048, 4096, 8192, 16384, 32768, 65536,
	}
	matchBases = [maxMatchCode + 1]uint32{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
		32, 34, 36, 38, 40, 44, 48, 56, 64, 80, 96, 128, 256, 512,
		1024, 2048, 4096, 8192, 16384, 32768, 65536,
	}
	litExtra = [maxLitCode + 1]uint8{
		16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	}
	matchExtra = [maxMatchCode + 1]uint8{
		32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	}
)

// codesBelow tabulates which code each value below n belongs to.
func codesBelow(n int, bases []uint32) []uint8 {
	codes := make([]uint8, n)
	code := 0
	for v := range codes {
		for bases[code+1] <= uint32(v) {
			code++
		}
		codes[v] = uint8(code)
	}
	return codes
}

func litCode(litLen uint32) uint8 {
	if litLen < uint32(len(litCodes)) {
		return litCodes[litLen]
	}
	return uint8(bits.Len32(litLen)) + 18
}

func matchCode(matchBase uint32) uint8 {
	if matchBase < uint32(len(matchCodes)) {
		return matchCodes[matchBase]
	}
	return uint8(bits.Len32(matchBase)) + 35
}

// offsetCode is the number of extra bits of the value at the same time
// (section 3.1.1.3.2.1.1).
func offsetCode(value uint32) uint8 { return uint8(bits.Len32(value)) - 1 }

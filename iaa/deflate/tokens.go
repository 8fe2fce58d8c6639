package deflate

import (
	"math/bits"
)

const (
	minMatch    = 3
	maxMatch    = 258
	maxDistance = 4096 // that the accelerator decodes, see doc.go

	firstLengthSymbol = 257
	lengthSymbols     = 29
	distanceSymbols   = 24 // that are needed up to maxDistance
)

// token is a literal or a match. A literal is its byte. Of a match
//
//	bits  0 to 11  are distance - 1,
//	bits 12 to 19  length - 3,
//	bits 20 to 24  the symbol of the distance, which is needed several times,
//	bit  31        is set.
type token uint32

const (
	tokenLengthShift = 12
	tokenSymbolShift = 20
	tokenMatch       = 1 << 31
)

func matchToken(length, distance uint32) token {
	return token(tokenMatch | distanceSymbol(distance)<<tokenSymbolShift |
		(length-minMatch)<<tokenLengthShift | (distance - 1))
}

func (t token) isMatch() bool          { return int32(t) < 0 }
func (t token) offset() uint32         { return uint32(t) & (maxDistance - 1) } // distance - 1
func (t token) distanceSymbol() uint32 { return uint32(t>>tokenSymbolShift) & 31 }
func (t token) length() *lengthInfo    { return &lengthInfos[t>>tokenLengthShift&0xff] }

// srcBytes is how much input the token stands for.
func (t token) srcBytes() int {
	if t.isMatch() {
		return int(t>>tokenLengthShift&0xff) + minMatch
	}
	return 1
}

// lengthBase and lengthExtraBits are the table of RFC 1951, 3.2.5.
var (
	lengthBase = [lengthSymbols]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtraBits = [lengthSymbols]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
)

// lengthInfo is how a length is coded.
type lengthInfo struct {
	symbol    uint16 // in the alphabet of literals and lengths
	extra     uint8  // value of the bits behind the symbol
	extraBits uint8
}

// lengthInfos are those of all lengths from minMatch on.
var lengthInfos = func() (infos [maxMatch - minMatch + 1]lengthInfo) {
	for i, base := range lengthBase {
		for extra := range 1 << lengthExtraBits[i] {
			// The longest length has a symbol of its own, which comes last.
			if length := int(base) + extra; length <= maxMatch {
				infos[length-minMatch] = lengthInfo{uint16(firstLengthSymbol + i), uint8(extra), lengthExtraBits[i]}
			}
		}
	}
	return infos
}()

// distanceSymbol computes RFC 1951, 3.2.5: from 5 on, two symbols for each
// power of two.
func distanceSymbol(distance uint32) uint32 {
	extra := uint32(bits.Len32((distance-1)|2)) - 2
	return (distance-1)>>extra + 2*extra
}

// distanceExtraBits is how many bits follow the symbol of a distance.
func distanceExtraBits(symbol uint32) uint32 { return max(symbol, 2)/2 - 1 }

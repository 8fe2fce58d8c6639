package densezstd

import "math/bits"

// Costs are counted in 1/256 bit. They are integers, so that every machine
// takes the same decisions and writes the same bytes.
const (
	bitCost  = 256
	byteCost = 8 * bitCost
)

const logTableBits = 11

// logTable is log2(1+i/2^logTableBits) in 1/65536.
var logTable = [1 << logTableBits]uint32(fractionLogs())

// fractionLogs computes binary logarithms digit by digit: squaring a number
// doubles its logarithm, and what exceeds two is the next digit.
func fractionLogs() []uint32 {
	logs := make([]uint32, 1<<logTableBits)
	for i := range logs {
		x := uint64(1)<<31 + uint64(i)<<(31-logTableBits)
		for range 16 {
			x = x * x >> 31
			logs[i] <<= 1
			if x >= 1<<32 {
				x >>= 1
				logs[i] |= 1
			}
		}
	}
	return logs
}

// log2 returns the binary logarithm of n > 0 in 1/65536.
func log2(n uint32) uint32 {
	top := bits.Len32(n) - 1
	return uint32(top)<<16 + logTable[n<<(31-top)<<1>>(32-logTableBits)]
}

// countLogCount returns n*log2(n) in 1/256. Sums of it give entropies.
func countLogCount(n uint32) uint64 {
	if n < uint32(len(smallCountLogs)) {
		return uint64(smallCountLogs[n])
	}
	return uint64(n) * uint64(log2(n)) >> 8
}

var smallCountLogs = [1024]uint32(tabulateCountLogs(1024))

func tabulateCountLogs(n int) []uint32 {
	logs := make([]uint32, n)
	for i := 1; i < n; i++ {
		logs[i] = uint32(uint64(i) * uint64(log2(uint32(i))) >> 8)
	}
	return logs
}

// entropy returns the least that symbols with these counts can cost, when each
// that occurs costs each more.
func entropy(counts []uint32, each uint64) uint64 {
	total, sum, distinct := uint32(0), uint64(0), uint64(0)
	for _, n := range counts {
		if n > 0 {
			total += n
			sum += countLogCount(n)
			distinct++
		}
	}
	all := countLogCount(total)
	return all - min(sum, all) + distinct*each
}

func bitLen(n uint32) uint8 { return uint8(bits.Len32(n)) }

package fs

import (
	"bufio"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// availableBytes is the memory that the kernel could give without swapping; if it
// does not say so, there is no limit to know of.
func availableBytes() int64 {
	info, err := os.Open("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	defer info.Close()
	return availableIn(info)
}

// availableIn reads /proc/meminfo, see proc_meminfo(5).
func availableIn(info io.Reader) int64 {
	lines := bufio.NewScanner(info)
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		if err == nil && kib >= 0 && kib < math.MaxInt64>>10 {
			return kib << 10
		}
	}
	return math.MaxInt64
}

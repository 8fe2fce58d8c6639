package memory

import (
	"fmt"
	"os"
	"testing"
)

// addressSpaceBytes returns how much this process has mapped.
func addressSpaceBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	mustNot(t, err)
	var pageCount int64
	_, err = fmt.Sscan(string(b), &pageCount)
	mustNot(t, err)
	return pageCount * int64(os.Getpagesize())
}

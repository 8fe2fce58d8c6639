package linuxguest

import (
	"fmt"
	"strings"
)

const (
	// MemoryOption of the kernel's command line is followed by a number of MiB.
	MemoryOption = "lab.mib="
	// DefaultMiB is filled without the option.
	DefaultMiB = 32
	// Words are in a MiB.
	Words = 1 << 20 / 8
	// PageWords are in a page.
	PageWords = 4096 / 8
	// SectorBytes is the unit of read and write.
	SectorBytes = 512

	readyFormat = "lab guest: ready, %d processors"
	// Tick begins the lines that come without having been asked for.
	Tick = "lab guest: tick "
	// Failure begins the reply to a request that failed.
	Failure = "failed: "
)

// Ready is the line that ends a boot.
func Ready(processors int) string { return fmt.Sprintf(readyFormat, processors) }

// Word is what the guest's memory holds at an index: the index through the mixer
// of SplitMix64, so that no two pages are alike and none compresses well.
func Word(index uint64) uint64 {
	x := (index + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Sum is what the guest answers as the sum of its words, before changes.
func Sum(mib int) (sum uint64) {
	for index := range uint64(mib) * Words {
		sum += Word(index)
	}
	return sum
}

// IsTick reports whether a line was not asked for.
func IsTick(line string) bool { return strings.HasPrefix(line, Tick) }

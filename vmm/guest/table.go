package guest

// The same numbers as in asm/layout.h.
const (
	// LoadAddress is where the image is loaded and entered.
	LoadAddress = 1 << 20
	// TableAddress is the guest physical address of the table.
	TableAddress = 2 << 20
	// PageBytes is the size of a bucket.
	PageBytes = 4096
	// EntriesPerPage is how many keys live in one page.
	EntriesPerPage = 4
	// DefaultMiB is the size of the table when the command line says nothing.
	DefaultMiB = 32
	// MaxMiB is the largest table: it must end below the hole for devices.
	MaxMiB = 3070
	// MinMemoryMiB is what a guest needs besides its table.
	MinMemoryMiB = TableAddress >> 20

	pagesPerMiB = 1 << 20 / PageBytes
	// step is a prime larger than any number of pages, so that keys 0 to
	// PageCount-1 fill each page exactly once.
	step      = 2654435761
	stampSeed = 0x57a3b00000000000
)

// mix is splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// PageCount returns how many pages a table of so many MiB has: 1 to MaxMiB, here
// and below.
func PageCount(mib int) uint64 { return uint64(mib) * pagesPerMiB }

// EntryCount returns how many keys it has: 0 to EntryCount-1.
func EntryCount(mib int) uint64 { return PageCount(mib) * EntriesPerPage }

// Value returns the value of a key.
func Value(key uint64) uint64 { return mix(key) }

// Stamp returns what write number w leaves in its page. The first write of a
// guest is number 0.
func Stamp(w uint64) uint64 { return mix(stampSeed + w) }

// PageAddress returns the guest physical address of the page where a key lives.
// Write number w goes to the page of key w.
func PageAddress(mib int, key uint64) uint64 {
	pages := PageCount(mib)
	return TableAddress + key%pages*step%pages*PageBytes
}

// Sum returns what a guest answers to sum, and says when it is ready.
func Sum(mib int) uint64 { return SumAfter(mib, 0) }

// SumAfter returns what it answers after so many writes.
func SumAfter(mib int, writes uint64) uint64 {
	var sum uint64
	for key := range EntryCount(mib) {
		sum += Value(key)
	}
	// A page keeps only its last stamp.
	for w := writes - min(writes, PageCount(mib)); w < writes; w++ {
		sum += Stamp(w)
	}
	return sum
}

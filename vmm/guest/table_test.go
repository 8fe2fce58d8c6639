package guest_test

import (
	"testing"

	"sabrefs/vmm/guest"
)

// The reference values of splitmix64 with seed 0.
func TestValueIsSplitmix64(t *testing.T) {
	const gamma = 0x9e3779b97f4a7c15
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := guest.Value(uint64(i) * gamma); got != want {
			t.Errorf("value %d of the sequence = %#x, want %#x", i, got, want)
		}
	}
}

// Every page must hold as many keys as fit, for every size of table.
func TestKeysFillEveryPage(t *testing.T) {
	for _, mib := range []int{1, 2, 3, 7, 32, 100} {
		counts := map[uint64]int{}
		for key := range guest.EntryCount(mib) {
			counts[guest.PageAddress(mib, key)]++
		}
		if uint64(len(counts)) != guest.PageCount(mib) {
			t.Errorf("%d MiB: keys in %d pages of %d", mib, len(counts), guest.PageCount(mib))
		}
		for address, count := range counts {
			if count != guest.EntriesPerPage || address < guest.TableAddress || address >= uint64(mib)<<20+guest.TableAddress {
				t.Fatalf("%d MiB: %d keys in the page at %#x", mib, count, address)
			}
		}
	}
}

func TestSumAfterWrites(t *testing.T) {
	pages := guest.PageCount(1)
	if got, want := guest.SumAfter(1, 2), guest.Sum(1)+guest.Stamp(0)+guest.Stamp(1); got != want {
		t.Errorf("after 2 writes %#x, want %#x", got, want)
	}
	if got, want := guest.SumAfter(1, pages+1), guest.SumAfter(1, pages)-guest.Stamp(0)+guest.Stamp(pages); got != want {
		t.Errorf("after a round and a write %#x, want %#x", got, want)
	}
}

package guest_test

import (
	"fmt"

	"sabrefs/vmm/guest"
)

// What a guest with 32 MiB says can be known without one.
func Example() {
	fmt.Println(guest.ReadyLine(guest.DefaultMiB))
	fmt.Printf("get 1234 -> 1234=0x%016x\n", guest.Value(1234))
	fmt.Printf("write 10, sum -> sum=0x%016x\n", guest.SumAfter(guest.DefaultMiB, 10))
	fmt.Printf("key 1234 is in the page at %#x\n", guest.PageAddress(guest.DefaultMiB, 1234))
	// Output:
	// sabrefs guest: ready, 32768 entries in 32 MiB, sum 0x7b6a550a5063c94e
	// get 1234 -> 1234=0xbb0cf61b2f181cdb
	// write 10, sum -> sum=0xbffa060b0ebc0d40
	// key 1234 is in the page at 0x1932000
}

package kvmtest

import (
	"os"
	"testing"
)

// Need skips the test when /dev/kvm cannot be opened.
func Need(tb testing.TB) {
	tb.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		tb.Skipf("no KVM here, `make lab` runs this test in a machine that has it: %v", err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

package guest_test

import (
	"bytes"
	"testing"

	"sabrefs/vmm/guest"
	"sabrefs/vmm/guest/assemble"
)

// The image in the tree is what its sources say.
func TestImageIsFromItsSources(t *testing.T) {
	image, err := assemble.Image(t.Context(), "asm")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(image, guest.Image()) {
		t.Errorf("guest.bin (%d bytes) is not what its sources make (%d bytes): run go generate ./vmm/guest", len(guest.Image()), len(image))
	}
}

// Whoever writes into an image does not write into that of others.
func TestImageIsACopy(t *testing.T) {
	guest.Image()[0] ^= 0xff
	if guest.Image()[0] != 0xfa { // CLI
		t.Error("the image begins with something else after a copy was changed")
	}
}

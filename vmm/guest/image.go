package guest

import (
	"bytes"
	_ "embed" // the image
)

//go:generate go run ./gen asm guest.bin

//go:embed guest.bin
var image []byte

// Image returns the flat image, to be loaded at 1 MiB and entered at its first
// byte. It is a copy of the caller's own.
func Image() []byte { return bytes.Clone(image) }

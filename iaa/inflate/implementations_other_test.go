//go:build !amd64

package inflate

// canByHand says that there are no loops in assembly.
const canByHand = false

func useByHand(bool) (restore func()) { return func() {} }

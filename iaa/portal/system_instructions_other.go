//go:build !amd64

package portal

// Pause does nothing: only amd64 has the devices and the instruction.
func Pause(uint32) {}

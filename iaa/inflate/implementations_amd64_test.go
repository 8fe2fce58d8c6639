package inflate

// canByHand says whether this processor runs the loops in assembly.
var canByHand = byHand

// useByHand chooses between those and the portable ones, and returns what
// restores the choice that was made before.
func useByHand(assembly bool) (restore func()) {
	before := byHand
	byHand = assembly
	return func() { byHand = before }
}

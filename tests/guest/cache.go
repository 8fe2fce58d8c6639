package guest

import (
	_ "embed"
	"fmt"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/cache"
)

//go:embed build.sh
var buildScript []byte

// Dir is the directory in which [Kind.Build] keeps what it makes for the present
// recipe. Another recipe, be it another server, kernel command line or
// accelerator, has another directory, so a stale snapshot is never used.
func (k Kind) Dir() (string, error) {
	return cache.Dir("guest-" + k.name + "-" + k.recipeKey())
}

// recipeKey is a short hash of everything that decides what a build makes.
func (k Kind) recipeKey() string {
	return cache.Key(
		buildScript, k.program,
		fmt.Appendf(nil, "%q %q %q", k.packages, k.programName, k.command),
		fmt.Appendf(nil, "%+v %s", qemu.NewMachine(), kernelCommandLine),
		fmt.Appendf(nil, "%q %q %q", k.warmUp, k.later, k.compared))
}

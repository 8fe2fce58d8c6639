package fs

import "strings"

const (
	// imageSuffix is what a packed image has after the name of its memory file.
	imageSuffix = ".sabre"
	// stagingSuffix ends the names that the packer uses until it renames; they
	// begin with a dot.
	stagingSuffix = ".sabrefs-staging"
)

// isHidden reports whether a name of the store is not part of the tree.
func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, stagingSuffix)
}

// memoryName returns the name of the memory file that a file called name would
// be the image of.
func memoryName(name string) (string, bool) {
	base, ok := strings.CutSuffix(name, imageSuffix)
	return base, ok && base != ""
}

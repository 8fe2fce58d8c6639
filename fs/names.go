package fs

import (
	"strings"

	"sabrefs/store"
)

// imageSuffix is what a packed image has after the name of its memory file.
const imageSuffix = store.ImageSuffix

// isHidden reports whether a name of the store is not part of the tree: what
// the packer uses until it renames.
func isHidden(name string) bool { return store.IsStaging(name) }

// memoryName returns the name of the memory file that a file called name would
// be the image of.
func memoryName(name string) (string, bool) {
	base, ok := strings.CutSuffix(name, imageSuffix)
	return base, ok && base != ""
}

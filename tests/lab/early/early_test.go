package early

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestModulePathsSortInOrder(t *testing.T) {
	var paths []string
	for position := range 120 {
		path := ModulePath(position, "kvm-amd.ko")
		if filepath.Dir(path) != ModulesDir {
			t.Errorf("%s lies outside of %s", path, ModulesDir)
		}
		if gotPosition, name := SplitModulePath(path); gotPosition != position || name != "kvm-amd.ko" {
			t.Errorf("%s splits into %d and %q", path, gotPosition, name)
		}
		paths = append(paths, path)
	}
	if !slices.IsSorted(paths) {
		t.Errorf("the order of the names is not that of the loading: %v", paths)
	}
}

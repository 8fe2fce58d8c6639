package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDependenciesIn(t *testing.T) {
	for info, want := range map[string][]string{
		"license=GPL\x00depends=kvm,irq-bypass\x00name=x\x00": {"kvm", "irq_bypass"},
		"depends=\x00license=GPL\x00":                         nil,
		"license=GPL\x00softdepends=kvm\x00":                  nil,
		"":                                                    nil,
	} {
		if got := dependenciesIn([]byte(info)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", info, got, want)
		}
	}
}

// Debian's own modules come in an order in which each finds what it needs.
func TestModulesComeAfterTheirDependencies(t *testing.T) {
	downloads, err := Download(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []kernel{labKernel, guestKernel} {
		paths, err := downloads.modulePaths(k)
		if err != nil {
			t.Fatal(err)
		}
		var loaded []string
		for _, path := range paths {
			needed, err := moduleDependencies(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range needed {
				if !slices.Contains(loaded, name) {
					t.Errorf("%s comes before %s", filepath.Base(path), name)
				}
			}
			loaded = append(loaded, moduleName(path))
		}
		for _, name := range k.modules {
			if !slices.Contains(loaded, name) {
				t.Errorf("module %s is missing in %q", name, loaded)
			}
		}
	}
}

func TestUnknownModuleIsAnError(t *testing.T) {
	if _, err := (moduleTree{}).order("nosuchmodule"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one that says that it does not exist", err)
	}
	if _, err := findModules(t.TempDir()); err == nil {
		t.Error("a directory without modules is not refused")
	}
}

package guest

import (
	"path/filepath"
	"testing"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/cache"
)

func TestDirFollowsTheRecipe(t *testing.T) {
	root := t.TempDir()
	t.Setenv(cache.Variable, root)
	t.Setenv(qemu.AcceleratorVariable, "")
	usual, err := Python().Dir()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(usual) != root {
		t.Errorf("directory %s, want one in %s", usual, root)
	}
	t.Setenv(qemu.AcceleratorVariable, "tcg")
	if same, err := Python().Dir(); err != nil || same != usual {
		t.Errorf("the default accelerator by name: %s, %v; want %s", same, err, usual)
	}
	t.Setenv(qemu.AcceleratorVariable, "kvm")
	if other, err := Python().Dir(); err != nil || other == usual {
		t.Errorf("another accelerator: %s, %v; want another directory", other, err)
	}
	t.Setenv(qemu.AcceleratorVariable, "")
	changed := Python()
	changed.compared = changed.compared[1:]
	for name, kind := range map[string]Kind{"another kind": Node(), "other requests": changed} {
		if other, err := kind.Dir(); err != nil || other == usual {
			t.Errorf("%s: %s, %v; want another directory", name, other, err)
		}
	}
}

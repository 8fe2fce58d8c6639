package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/cmd/sabrefs-bench/qemu"
)

func TestDirFollowsTheRecipe(t *testing.T) {
	root := t.TempDir()
	t.Setenv(cacheVariable, root)
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

func TestLockExcludesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: %v, want to wait until the context ends", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMakeWholeReplacesALeftover(t *testing.T) {
	target := filepath.Join(t.TempDir(), "guest")
	if err := os.MkdirAll(filepath.Join(target+".partial", "leftover"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := makeWhole(target, func(dir string) error { return os.Mkdir(dir, 0o755) })
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(target)
	if err != nil || len(entries) != 0 {
		t.Errorf("result holds %v (%v), want nothing of the dead build", entries, err)
	}
}

func TestMakeWholeLeavesNothingOfAFailure(t *testing.T) {
	parent := t.TempDir()
	broken := errors.New("broken")
	err := makeWhole(filepath.Join(parent, "guest"), func(dir string) error {
		return errors.Join(os.Mkdir(dir, 0o755), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the build's", err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("left behind %v (%v), want nothing", entries, err)
	}
}

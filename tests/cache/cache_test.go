package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestKeyKeepsPartsApart(t *testing.T) {
	one := Key([]byte("ab"), []byte("c"))
	if one != Key([]byte("ab"), []byte("c")) {
		t.Error("the same recipe has two keys")
	}
	for name, other := range map[string]string{
		"another division": Key([]byte("a"), []byte("bc")),
		"one part":         Key([]byte("abc")),
		"another part":     Key([]byte("ab"), []byte("d")),
	} {
		if other == one {
			t.Errorf("%s: the same key %s", name, one)
		}
	}
}

func TestMakeBuildsOnce(t *testing.T) {
	t.Setenv(Variable, t.TempDir())
	target, err := Dir("thing")
	if err != nil {
		t.Fatal(err)
	}
	builds := 0
	for range 2 {
		err := Make(t.Context(), target, func(dir string) error {
			builds++
			return os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(target, "file")); err != nil || builds != 1 {
		t.Errorf("built %d times (%v), want once", builds, err)
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
	err := makeWhole(target, func(string) error { return nil })
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
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the build's", err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("left behind %v (%v), want nothing", entries, err)
	}
}

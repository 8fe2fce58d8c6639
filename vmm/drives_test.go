//go:build linux && amd64

package vmm

import (
	"os"
	"path/filepath"
	"testing"
)

func diskFile(t *testing.T, dir, name string, sizeBytes int64) string {
	t.Helper()
	path := filepath.Join(dir, name)
	mustNot(t, os.WriteFile(path, nil, 0o600))
	mustNot(t, os.Truncate(path, sizeBytes))
	return path
}

// TestKVMDrivesOfASnapshot restores a machine with drives: those of the snapshot,
// others in their place, and some that cannot take their place.
func TestKVMDrivesOfASnapshot(t *testing.T) {
	dir := t.TempDir()
	out := newConsole()
	cfg := flatConfig(echo, out)
	cfg.Drives = []Drive{
		{ID: "data", Path: diskFile(t, dir, "data", mib), ReadOnly: true},
		{ID: "rootfs", Path: diskFile(t, dir, "rootfs", 2*mib), Root: true},
	}
	m := start(t, cfg)
	typeAndCheck(t, m, out, out.wait(t, 0, "R"), 1, "ab")
	if drives := m.Info().Drives; len(drives) != 2 || drives[0].ID != "rootfs" || drives[1].ID != "data" {
		t.Errorf("got drives %+v", drives)
	}
	req := request(t.TempDir(), "full", false)
	pauseAndSnapshot(t, m, req)
	mustNot(t, m.Close())

	out = newConsole()
	typeAndCheck(t, restored(t, req.restore(out)), out, 0, 3, "same")
	other := req.restore(newConsole())
	other.Drives = map[string]string{"rootfs": diskFile(t, dir, "copy", 2*mib)}
	if got := restored(t, other).Info().Drives[0].Path; got != other.Drives["rootfs"] {
		t.Errorf("the root drive is %s", got)
	}
	for name, c := range map[string]struct {
		path  string
		class error
	}{
		"missing":      {filepath.Join(dir, "none"), os.ErrNotExist},
		"a directory":  {dir, ErrDisk},
		"half sectors": {diskFile(t, dir, "odd", 1000), ErrDisk},
		"larger":       {diskFile(t, dir, "larger", 4*mib), ErrDamaged},
		"smaller":      {diskFile(t, dir, "smaller", mib), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := req.restore(nil)
			cfg.Drives = map[string]string{"rootfs": c.path}
			_, err := Restore(t.Context(), cfg)
			wantError(t, err, c.class)
		})
	}
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

type removeReport struct {
	Removed []removedRow `json:"removed"`
	Orphans []string     `json:"orphans"`
}

func TestRemove(t *testing.T) {
	f := newFamily(t)
	refused(t, exitNeeded, []string{"rm", f.dir, "base"}, f.image("base"), "side/mem_file, v1/mem_file are")
	refused(t, exitNeeded, []string{"rm", f.dir, "v2", "v1/mem_file", "base"}, f.image("base"), "side/mem_file is")
	wantNames(t, f.dir, "base", "side", "v1", "v2")
	size := int64(len(readFile(t, f.image("side"))))
	report := decodeJSON[removeReport](t, sabrefs(t, "rm", "--json", f.dir, "side"))
	if want := (removedRow{"side", 1, size}); len(report.Removed) != 1 || report.Removed[0] != want || report.Orphans == nil || len(report.Orphans) > 0 {
		t.Errorf("rm --json says %+v", report)
	}
	want := "v2/mem_file: removed, 1 image, " + humanBytes(int64(len(readFile(t, f.image("v2"))))) + "\n"
	if said := sabrefs(t, "rm", f.dir, "v2/mem_file"); said != want {
		t.Errorf("rm said %q, want %q", said, want)
	}
	wantNames(t, f.dir, "base", "v1", "v2")
	wantNames(t, filepath.Join(f.dir, "v2"), "snapshot_file")
	f.wantMemory(t, "base", "v1")
	sabrefs(t, "rm", f.dir, "v1/", "base/mem_file.sabre", "v1/mem_file")
	wantNames(t, f.dir, "base", "v2")
}

// TestRemoveFamily removes all at once, in whatever order they are named.
func TestRemoveFamily(t *testing.T) {
	f := newFamily(t)
	report := decodeJSON[removeReport](t, sabrefs(t, "rm", "--json", f.dir, "base", "side", "v1", "v2"))
	var names []string
	for _, row := range report.Removed {
		names = append(names, row.Name)
	}
	if want := []string{"v2", "side", "v1", "base"}; !slices.Equal(names, want) {
		t.Errorf("removed in the order of %q, want %q: no child without its parent", names, want)
	}
	wantNames(t, f.dir)
}

func TestRemoveForce(t *testing.T) {
	f := newFamily(t)
	report := decodeJSON[removeReport](t, sabrefs(t, "rm", "--json", "--force", f.dir, "base"))
	if len(report.Removed) != 1 || !slices.Equal(report.Orphans, []string{"side/mem_file", "v1/mem_file"}) {
		t.Errorf("rm --force --json says %+v", report)
	}
	refused(t, exitParent, []string{"verify", f.image("v2")}, "base")
	wantNames(t, f.dir, "side", "v1", "v2")
	want := "v1/mem_file: removed, 1 image, " + humanBytes(int64(len(readFile(t, f.image("v1"))))) + "\n" +
		"v2/mem_file: it needed what is gone, and cannot be read without it\n"
	if said := sabrefs(t, "rm", "--force", f.dir, "v1/mem_file"); said != want {
		t.Errorf("rm --force said %q, want %q", said, want)
	}
}

// TestRemoveTwin: of two images that have what a child needs, the one that it
// remembers is needed, and both if that is gone.
func TestRemoveTwin(t *testing.T) {
	f := newFamily(t)
	copyTree(t, filepath.Join(f.dir, "base"), filepath.Join(f.dir, "twin"))
	copyTree(t, filepath.Join(f.dir, "base"), filepath.Join(f.dir, "third"))
	sabrefs(t, "rm", f.dir, "twin")
	refused(t, exitNeeded, []string{"rm", f.dir, "base"}, "v1/mem_file")
	noError(t, os.Rename(filepath.Join(f.dir, "base"), filepath.Join(f.dir, "moved")))
	refused(t, exitNeeded, []string{"rm", f.dir, "moved"}, "v1/mem_file")
	refused(t, exitNeeded, []string{"rm", f.dir, "third"}, "v1/mem_file")
	sabrefs(t, "rebase", "--parent", f.image("moved"), f.image("v1"))
	sabrefs(t, "rebase", "--parent", f.image("moved"), f.image("side"))
	sabrefs(t, "rm", f.dir, "third")
	f.wantMemory(t, "v1", "v2", "side")
}

// TestRemoveReplaced: nobody needs an image that is not the parent any more, though it
// is where that was.
func TestRemoveReplaced(t *testing.T) {
	f := newFamily(t)
	f.replace(t, "base")
	sabrefs(t, "rm", f.dir, "base")
	wantNames(t, f.dir, "side", "v1", "v2")
}

// TestRemoveUnreadable: a parent that is damaged is needed by those that remember it;
// an image that is damaged might need anything, and can be removed.
func TestRemoveUnreadable(t *testing.T) {
	f := newFamily(t)
	flip(90)(t, f.image("v1"))
	refused(t, exitNeeded, []string{"rm", f.dir, "v1"}, "v2/mem_file")
	refused(t, exitNeeded, []string{"rm", f.dir, "side"}, f.image("v1"))
	sabrefs(t, "rm", f.dir, "v1", "v2")
	sabrefs(t, "rm", f.dir, "side")
	writeFile(t, filepath.Join(f.dir, "junk.sabre"), []byte("no image"))
	sabrefs(t, "rm", f.dir, "base")
	sabrefs(t, "rm", f.dir, "junk")
	wantNames(t, f.dir)
}

// TestRemoveBusy: while an image is packed against another one, that stays.
func TestRemoveBusy(t *testing.T) {
	f := newFamily(t)
	parent, err := os.Open(f.image("v2"))
	noError(t, err)
	defer parent.Close()
	noError(t, unix.Flock(int(parent.Fd()), unix.LOCK_SH)) // as packing does
	for _, args := range [][]string{{"v2"}, {"--force", "v2/mem_file"}} {
		refused(t, exitBusy, append([]string{"rm", f.dir}, args...), f.image("v2"))
	}
	f.wantMemory(t, "v2")
	noError(t, parent.Close())
	staging := makeDir(t, filepath.Join(f.dir, ".v2.sabrefs-staging"))
	replacing, err := os.Open(staging)
	noError(t, err)
	defer replacing.Close()
	noError(t, unix.Flock(int(replacing.Fd()), unix.LOCK_EX)) // as packing to its place does
	refused(t, exitBusy, []string{"rm", f.dir, "v2"}, filepath.Join(f.dir, "v2"))
	noError(t, replacing.Close())
	writeFile(t, filepath.Join(staging, "left"), nil) // by a pack that was killed
	sabrefs(t, "rm", f.dir, "v2")
	wantNames(t, f.dir, "base", "side", "v1")
}

// TestRemoveWhilePacking: a pack that is at work keeps its parent.
func TestRemoveWhilePacking(t *testing.T) {
	f := newFamily(t)
	source := filepath.Join(realTempDir(t), "mem_file")
	writeFile(t, source, textMemory(4096))
	noError(t, os.Truncate(source, 1<<30))
	image := filepath.Join(f.dir, "child.sabre")
	cmd := command(t, "pack", "--level", "best", "--workers", "1", "--parent", f.image("v2"), source, image)
	noError(t, cmd.Start())
	eventually(t, "the pack opens its input", func() bool { return hasOpen(cmd.Process.Pid, source) })
	refused(t, exitBusy, []string{"rm", "--force", f.dir, "v2"}, f.image("v2"))
	noError(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the pack was at its end before it was killed")
	}
	sabrefs(t, "rm", f.dir, "v2")
}

func TestRemoveRefusesNames(t *testing.T) {
	f := newFamily(t)
	outside := filepath.Join(filepath.Dir(f.dir), "outside")
	copyTree(t, filepath.Join(f.dir, "side"), outside)
	noError(t, os.Symlink(outside, filepath.Join(f.dir, "link")))
	noError(t, os.Symlink(filepath.Join(outside, "mem_file.sabre"), filepath.Join(f.dir, "linked.sabre")))
	makeDir(t, filepath.Join(f.dir, "empty"))
	copyTree(t, filepath.Join(f.dir, "side"), filepath.Join(f.dir, ".x.sabrefs-staging"))
	for name, code := range map[string]int{
		"..":                           exitUsage,
		"../outside":                   exitUsage,
		"../outside/mem_file":          exitUsage,
		"side/../../outside":           exitUsage,
		outside:                        exitUsage,
		f.image("side"):                exitUsage,
		".":                            exitUsage,
		"":                             exitUsage,
		"/":                            exitUsage,
		"link":                         exitUsage,
		"link/mem_file":                exitUsage,
		"linked":                       exitNotFound,
		"linked.sabre":                 exitUsage,
		"missing":                      exitNotFound,
		"missing/mem_file":             exitNotFound,
		"side/mem_file/x":              exitNotFound,
		".x.sabrefs-staging":           exitNotFound,
		".x.sabrefs-staging/mem_file":  exitNotFound,
		"empty":                        exitDamaged,
		"side/snapshot_file":           exitDamaged,
		"side/mem_file.sabre/mem_file": exitFailure,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, code, []string{"rm", f.dir, "side", name}, filepath.Join(f.dir, filepath.Clean(name)))
			refused(t, code, []string{"rm", "--force", f.dir, name}, filepath.Join(f.dir, filepath.Clean(name)))
		})
	}
	refused(t, exitNotFound, []string{"rm", f.dir + "-missing", "side"}, f.dir+"-missing")
	wantNames(t, outside, "mem_file.sabre", "snapshot_file")
	f.wantMemory(t, "base", "v1", "v2", "side")
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sabrefs/store"
)

type verifyReport struct {
	Images []verifyRow `json:"images"`
}

func TestVerify(t *testing.T) {
	image, memory := packedImage(t)
	if said := sabrefs(t, "verify", image); !strings.HasPrefix(said, image+": ok, ") || strings.Count(said, "\n") != 1 {
		t.Errorf("verify said %q", said)
	}
	report := decodeJSON[verifyReport](t, sabrefs(t, "verify", "--json", image))
	if len(report.Images) != 1 {
		t.Fatalf("verify --json says %+v", report)
	}
	row := report.Images[0]
	if row.Path != image || !row.OK || row.Error != "" || row.RawBytes != int64(len(memory)) || row.Frames == 0 || row.Digest == "" {
		t.Errorf("verify --json says %+v", row)
	}
}

// TestVerifyMixedStore: one damaged image does not stop the others from being
// checked.
func TestVerifyMixedStore(t *testing.T) {
	storeDir, _ := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	for _, name := range []string{"a", "b", "z"} {
		writeFile(t, filepath.Join(makeDir(t, filepath.Join(storeDir, name)), "mem.sabre"), readFile(t, guest))
	}
	bad := filepath.Join(storeDir, "b", "mem.sabre")
	flip(headerBytes+10)(t, bad)
	leftover := makeDir(t, filepath.Join(storeDir, ".c.sabrefs-staging"))
	writeFile(t, filepath.Join(leftover, "mem.sabre"), []byte("of a pack that was killed"))
	said := refused(t, exitDamaged, []string{"verify", storeDir}, bad, "at offset")
	if strings.Count(said, ": ok, ") != 3 || strings.Contains(said, bad) {
		t.Errorf("verify of a store with one bad image of four said %q", said)
	}
	said = refused(t, exitDamaged, []string{"verify", "--json", storeDir}, bad, "at offset")
	report := decodeJSON[verifyReport](t, said)
	var failed []string
	for _, row := range report.Images {
		if !row.OK {
			failed = append(failed, row.Path)
		}
		if row.OK == (row.Error != "") {
			t.Errorf("ok is %v and the error is %q", row.OK, row.Error)
		}
	}
	if len(report.Images) != 4 || !slices.Equal(failed, []string{bad}) {
		t.Errorf("verify --json says %+v", report)
	}
}

// verified returns what verify says of each image, by its path.
func verified(t *testing.T, said string) (paths []string, byPath map[string]verifyRow) {
	t.Helper()
	byPath = map[string]verifyRow{}
	for _, row := range decodeJSON[verifyReport](t, said).Images {
		paths = append(paths, row.Path)
		byPath[row.Path] = row
	}
	return paths, byPath
}

// TestVerifyChain: the parents of an image are checked before it, each file once, also
// if several images share it, and if it is outside of what was named.
func TestVerifyChain(t *testing.T) {
	f := newFamily(t)
	paths, rows := verified(t, sabrefs(t, "verify", "--json", f.dir))
	if want := []string{f.image("base"), f.image("side"), f.image("v1"), f.image("v2")}; !slices.Equal(paths, want) {
		t.Errorf("verify of the store checks %q, want %q", paths, want)
	}
	for path, row := range rows {
		if !row.OK || row.RawBytes != int64(len(f.memory["base"])) {
			t.Errorf("verify says %+v of %s", row, path)
		}
	}
	said := sabrefs(t, "verify", f.image("v2"))
	for line, name := range map[int]string{0: "base", 1: "v1", 2: "v2"} {
		if lines := strings.Split(said, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[line], f.image(name)+": ok, ") {
			t.Errorf("verify of an image with two parents said\n%s", said)
		}
	}
	archive := makeDir(t, filepath.Join(realTempDir(t), "archive"))
	moved := filepath.Join(archive, "base", "mem_file.sabre")
	noError(t, os.Rename(filepath.Join(f.dir, "base"), filepath.Join(archive, "base")))
	refused(t, exitParent, []string{"verify", f.dir}, f.image("side"), f.image("v1"), f.image("v2"))
	refused(t, exitNotFound, []string{"verify", "--parent-dir", f.dir + "-missing", f.dir}, "--parent-dir")
	paths, _ = verified(t, sabrefs(t, "verify", "--json", "--parent-dir", realTempDir(t), "--parent-dir", archive, f.dir))
	if want := []string{moved, f.image("side"), f.image("v1"), f.image("v2")}; !slices.Equal(paths, want) {
		t.Errorf("with a parent elsewhere, verify checks %q, want %q", paths, want)
	}
	f.replace(t, "v1")
	refused(t, exitParent, []string{"verify", f.image("v2")}, f.image("v2"), f.image("v1"), "other content")
}

// TestVerifyDamagedParent: damage is told of the parent first, and of those that
// inherit what is damaged; who does without it is intact.
func TestVerifyDamagedParent(t *testing.T) {
	f := newFamily(t)
	damaged, err := store.Open(f.image("v1"), store.OpenOptions{})
	noError(t, err)
	frame, err := damaged.Frame(uint32(damaged.FirstFrame()))
	noError(t, errors.Join(err, damaged.Close()))
	flip(int(frame.PackedOff))(t, f.image("v1"))
	said := refused(t, exitDamaged, []string{"verify", "--json", f.image("v2")}, f.image("v1")+": at offset", f.image("v2")+": in a parent: ")
	paths, rows := verified(t, said)
	if want := []string{f.image("base"), f.image("v1"), f.image("v2")}; !slices.Equal(paths, want) || !rows[want[0]].OK || rows[want[1]].OK || rows[want[2]].OK {
		t.Errorf("verify says %+v", rows)
	}
	_, rows = verified(t, refused(t, exitDamaged, []string{"verify", "--json", f.dir}))
	if !rows[f.image("side")].OK {
		t.Errorf("a child of the base is not intact: %+v", rows)
	}

	cutTo(100)(t, f.image("v1")) // which keeps its child from being opened
	said = refused(t, exitDamaged, []string{"verify", "--json", f.image("v2")}, f.image("v1")+": at offset", f.image("v2")+": ", "truncated")
	if paths, _ := verified(t, said); !slices.Equal(paths, []string{f.image("v1"), f.image("v2")}) {
		t.Errorf("with an unreadable parent, verify checks %q", paths)
	}
}

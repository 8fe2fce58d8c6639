package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// anewReport is what flatten and rebase say of several images.
type anewReport struct {
	Images    []repackRow `json:"images"`
	LeftAlone []string    `json:"left_alone"`
}

func (r anewReport) paths() (paths []string) {
	for _, row := range r.Images {
		paths = append(paths, row.Path)
	}
	return paths
}

func TestFlatten(t *testing.T) {
	f := newFamily(t)
	said := sabrefs(t, "flatten", f.image("v1"))
	if !strings.HasPrefix(said, f.image("v1")+": ") || !strings.Contains(said, "no parent any more") || strings.Count(said, "\n") != 1 {
		t.Errorf("flatten says %q", said)
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
	sabrefs(t, "verify", f.dir)
	sabrefs(t, "rm", f.dir, "base", "side") // nobody else needs it now
	f.wantMemory(t, "v1", "v2")
	if report := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", f.image("v1"))); report.Depth != 0 || report.Parent != nil || report.IncompatFlags != 0 {
		t.Errorf("flattened, the image is %+v", report)
	}
	said = sabrefs(t, "flatten", f.image("v1"))
	if !strings.Contains(said, "left alone") {
		t.Errorf("flatten of what is flat says %q", said)
	}
}

// TestFlattenMany: a directory stands for its images, and each is written once.
func TestFlattenMany(t *testing.T) {
	f := newFamily(t)
	report := decodeJSON[anewReport](t, sabrefs(t, "flatten", "--json", "--codec", "lz4", "--level", "fast", f.dir, f.image("v1"), filepath.Join(f.dir, "side")))
	if want := []string{f.image("v2"), f.image("side"), f.image("v1")}; !slices.Equal(report.paths(), want) || !slices.Equal(report.LeftAlone, []string{f.image("base")}) {
		t.Errorf("flatten --json says %+v", report)
	}
	for _, row := range report.Images {
		if row.Depth != 0 || row.ParentPages != 0 || row.Codec != "lz4" || row.PackedBytes <= row.OldPackedBytes {
			t.Errorf("flatten --json says %+v", row)
		}
	}
	f.wantMemory(t, "base", "v1", "v2", "side")
	if said := sabrefs(t, "ls", "--tree", f.dir); strings.Contains(said, "`-") {
		t.Errorf("flattened, the store is\n%s", said)
	}
}

func TestFlattenOneJSON(t *testing.T) {
	f := newFamily(t)
	row := decodeJSON[repackRow](t, sabrefs(t, "flatten", "--json", f.image("v2")))
	if row.Path != f.image("v2") || row.Depth != 0 {
		t.Errorf("flatten --json says %+v", row)
	}
}

// TestFlattenRefuses: an image that fails is what it was, and does not keep the others
// from being flattened.
func TestFlattenRefuses(t *testing.T) {
	f := newFamily(t)
	missing := filepath.Join(f.dir, "missing")
	refused(t, exitNotFound, []string{"flatten", f.image("v1"), missing}, missing)
	refused(t, exitUsage, []string{"flatten", "--codec", "gzip", f.image("v1")}, "gzip")
	refused(t, exitUsage, []string{"flatten", "--frame-size", "12K", f.image("v1")}, "--frame-size")
	refused(t, exitUsage, []string{"flatten", "--parent-dir", f.image("v1"), f.image("v1")}, "--parent-dir")
	f.add(t, "other", "")
	f.add(t, "v9", "other")
	noError(t, os.RemoveAll(filepath.Join(f.dir, "other")))
	before := readFile(t, f.image("v9"))
	said := refused(t, exitParent, []string{"flatten", f.image("v9"), f.image("v1")}, f.image("v9"))
	if !strings.HasPrefix(said, f.image("v1")+": ") || strings.Count(said, "\n") != 1 {
		t.Errorf("flatten beside an image without its parent says %q", said)
	}
	wantContent(t, f.image("v9"), before)
	wantNames(t, filepath.Join(f.dir, "v9"), "mem_file.sabre", "snapshot_file")
	f.wantMemory(t, "base", "v1", "v2", "side")
}

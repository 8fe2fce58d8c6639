package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

type listReport struct {
	Images []listRow `json:"images"`
}

func TestList(t *testing.T) {
	storeDir, memory := packedStore(t)
	image := filepath.Join(storeDir, "guest", "mem_file.sabre")
	said := sabrefs(t, "ls", storeDir)
	if lines := strings.Split(said, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "NAME ") || !strings.HasPrefix(lines[1], "guest/mem_file ") {
		t.Errorf("ls said %q", said)
	}
	report := decodeJSON[listReport](t, sabrefs(t, "ls", "--json", storeDir))
	if len(report.Images) != 1 {
		t.Fatalf("ls --json says %+v", report)
	}
	row := report.Images[0]
	if row.Name != "guest/mem_file" || row.RawBytes != int64(len(memory)) || row.PackedBytes != int64(len(readFile(t, image))) ||
		row.Error != "" || row.UUID == "" || row.CreatedAt.IsZero() {
		t.Errorf("ls --json says %+v", row)
	}
	if said := sabrefs(t, "ls", image); !strings.Contains(said, "\nmem_file ") {
		t.Errorf("ls of an image said %q", said)
	}
}

func TestListUnreadable(t *testing.T) {
	storeDir, _ := packedStore(t)
	bad := writeFile(t, filepath.Join(storeDir, "bad.sabre"), []byte("no image"))
	said := refused(t, exitDamaged, []string{"ls", storeDir}, bad)
	if !strings.Contains(said, "guest/mem_file ") || !strings.Contains(said, "unreadable") {
		t.Errorf("ls said %q", said)
	}
	report := decodeJSON[listReport](t, refused(t, exitDamaged, []string{"ls", "--json", storeDir}, bad))
	if len(report.Images) != 2 || report.Images[0].Name != "bad" || !strings.Contains(report.Images[0].Error, bad) || report.Images[1].Error != "" {
		t.Errorf("ls --json says %+v", report)
	}
}

func TestListEmpty(t *testing.T) {
	empty := realTempDir(t)
	if said := sabrefs(t, "ls", empty); !strings.HasPrefix(said, "NAME ") || strings.Count(said, "\n") != 1 {
		t.Errorf("ls of an empty store said %q", said)
	}
	if said := sabrefs(t, "ls", "--json", empty); !strings.Contains(said, `"images": []`) {
		t.Errorf("ls --json of an empty store said %q", said)
	}
}

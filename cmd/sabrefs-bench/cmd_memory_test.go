package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestConcatenate(t *testing.T) {
	content := memory(300)
	path := filepath.Join(t.TempDir(), "large")
	noError(t, concatenate(path, writeMemory(t, content), 3))
	got, err := os.ReadFile(path)
	noError(t, err)
	if len(got) != 3*len(content) || !bytes.Equal(got[:len(content)], content) {
		t.Fatalf("three copies of %d bytes have %d, or the first one differs", len(content), len(got))
	}
	seen := map[string]bool{}
	for page := 3; page < len(got)/pageBytes; page += 300 { // the same page of each copy
		seen[string(got[page*pageBytes:][:pageBytes])] = true
	}
	if len(seen) != 3 {
		t.Errorf("a page has %d contents in three copies, want three", len(seen))
	}
}

// TestMemory runs the smallest measurement there can be.
func TestMemory(t *testing.T) {
	requireMounts(t)
	dir := workDir(t)
	o := bench(t, "memory", "--json", "--input", writeMemory(t, memory(256)), "--sabrefs", buildSabrefs(t), "--work-dir", dir)
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	rows := decodeRows(t, o.stdout)
	if len(rows) != 5 {
		t.Errorf("%d rows, want two of packing and three of daemons: %s", len(rows), o.stdout)
	}
	for _, row := range rows {
		if peak, _ := row["peak_bytes"].(float64); peak <= 0 {
			t.Errorf("no peak in %v", row)
		}
	}
}

package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallLayers runs a command of layers on the least there can be and returns its rows.
func smallLayers(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	args = append([]string{"layers"}, args...)
	o := bench(t, append(args, "--json", "--runs", "1", "--work-dir", workDir(t))...)
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	return decodeRows(t, o.stdout)
}

// expectPositive checks figures of a row.
func expectPositive(t *testing.T, row map[string]any, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if figure, isFigure := row[key].(float64); !isFigure || figure <= 0 {
			t.Errorf("%s is %v in %v", key, row[key], row)
		}
	}
}

func TestLayersOpen(t *testing.T) {
	rows := smallLayers(t, "open", "--mib", "24", "--depths", "3,1,3")
	var depths []float64
	for _, row := range rows {
		depth, _ := row["depth"].(float64)
		depths = append(depths, depth)
		expectPositive(t, row, "packed_bytes", "table_bytes", "warm_ms", "warm_min_ms", "warm_max_ms", "mapped_bytes", "used_bytes")
		if depth > 0 && row["packed_bytes"].(float64) >= rows[0]["packed_bytes"].(float64) { //nolint:forcetypeassert // seen to be figures
			t.Errorf("a layer is not smaller than the root: %v, %v", row, rows[0])
		}
	}
	if len(depths) != 3 || depths[0] != 0 || depths[1] != 1 || depths[2] != 3 {
		t.Errorf("depths are %v, want 0, 1 and 3", depths)
	}
}

func TestLayersFault(t *testing.T) {
	requireMounts(t)
	rows := smallLayers(t, "fault", "--mib", "24", "--depth", "3", "--reads", "100", "--sabrefs", buildSabrefs(t))
	var order []string
	for _, row := range rows {
		how, _ := row["how"].(string)
		side, _ := row["side"].(string)
		order = append(order, how+" "+side)
		expectPositive(t, row, "pages", "mean_us", "p50_us", "p95_us", "p50_to_flat", "p95_to_flat")
	}
	if got, want := strings.Join(order, ", "), "read flat, read chain, read stale chain, fault flat, fault chain, fault stale chain"; got != want {
		t.Errorf("rows are %s, want %s", got, want)
	}
}

func TestLayersPack(t *testing.T) {
	rows := smallLayers(t, "pack", "--input", writeMemory(t, memory(4096)), "--sabrefs", buildSabrefs(t))
	if len(rows) != 6 {
		t.Fatalf("%d rows, want three ways to pack by this process and three by the command", len(rows))
	}
	for _, row := range rows {
		expectPositive(t, row, "seconds", "packed_bytes", "of_full")
		what, _ := row["what"].(string)
		stored, _ := row["stored_pages"].(float64)
		if isChild := strings.HasPrefix(what, "--parent"); isChild && stored != 30 || !isChild && stored < 1000 {
			t.Errorf("%v pages stored in %v", stored, row)
		}
	}
}

// TestLayersRefuses: what makes no sense is refused before any work.
func TestLayersRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args []string
		word string
	}{
		{[]string{"open", "--runs", "0"}, "at least one"},
		{[]string{"open", "--mib", "0"}, "MiB"},
		{[]string{"open", "--data", "101"}, "101"},
		{[]string{"open", "--changed", "0"}, "thousandths"},
		{[]string{"open", "--depths", "1000"}, "1000"},
		{[]string{"open", "--input", "/nonexistent/memory"}, "/nonexistent/memory"},
		{[]string{"fault", "--depth", "0"}, "depth"},
		{[]string{"fault", "--reads", "0"}, "at least one"},
		{[]string{"pack", "--input", writeMemory(t, nil), "--sabrefs", "/bin/false"}, "no page"},
		{[]string{"pack", "--sabrefs", "/nonexistent/sabrefs", "--mib", "1", "--data", "1"}, "/nonexistent/sabrefs"},
	} {
		o := bench(t, slices.Concat([]string{"layers"}, test.args, []string{"--work-dir", dir})...)
		if o.code != 1 || !strings.Contains(o.stderr, test.word) || o.stdout != "" {
			t.Errorf("%v: exit code %d, standard output %q, standard error %q", test.args, o.code, o.stdout, o.stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		figures                 []float64
		median, least, greatest float64
	}{
		{nil, 0, 0, 0},
		{[]float64{4}, 4, 4, 4},
		{[]float64{9, 1, 5}, 5, 1, 9},
		{[]float64{3, 2, 8, 1, 4}, 3, 1, 8},
	} {
		before := slices.Clone(test.figures)
		median, least, greatest := spread(test.figures)
		if median != test.median || least != test.least || greatest != test.greatest {
			t.Errorf("spread of %v is %v, %v, %v", test.figures, median, least, greatest)
		}
		if !slices.Equal(before, test.figures) {
			t.Error("spread changed its input")
		}
	}
}

// workDir is a directory in which nothing may be left.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "sabrefs-bench-test-") //nolint:usetesting // /tmp may be a tmpfs, which is never dropped from the caches
	noError(t, err)
	t.Cleanup(func() {
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		noError(t, os.RemoveAll(dir))
	})
	return dir
}

// decodeRows decodes {"rows": [...]}.
func decodeRows(t *testing.T, text string) []map[string]any {
	t.Helper()
	var report map[string][]map[string]any
	noError(t, json.Unmarshal([]byte(text), &report))
	if len(report) != 1 {
		t.Fatalf("the report has more than rows: %s", text)
	}
	return report["rows"]
}

func TestPeers(t *testing.T) {
	requireMounts(t)
	dir := workDir(t)
	input := writeMemory(t, memory(2048))
	o := bench(t, "peers", "--json", "--runs", "1", "--faults", "50", "--input", input, "--sabrefs", buildSabrefs(t), "--work-dir", dir)
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	rows := decodeRows(t, o.stdout)
	var names []string
	for _, row := range rows {
		name, _ := row["name"].(string)
		names = append(names, name)
		keys := slices.Sorted(maps.Keys(row))
		want := []string{"fault_mean_max_us", "fault_mean_min_us", "fault_mean_us", "fault_p50_us", "fault_p99_us", "name", "pack_mb_per_s",
			"pack_seconds", "sequential_max_mb_per_s", "sequential_mb_per_s", "sequential_min_mb_per_s", "size_bytes"}
		if !slices.Equal(keys, want) {
			t.Errorf("a row has %q, want %q", keys, want)
		}
		for _, key := range keys {
			if figure, isFigure := row[key].(float64); isFigure && figure <= 0 {
				t.Errorf("%s of %s is %v", key, name, figure)
			}
		}
	}
	for _, want := range []string{"raw file", "sabrefs", "erofs", "squashfs"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, want) }) {
			t.Errorf("%s is missing in %q", want, names)
		}
	}
	if names[0] != "raw file" || rows[0]["size_bytes"] != float64(2048*pageBytes) {
		t.Errorf("the first row is %v, want the raw file", rows[0])
	}
}

// TestPeersRefuses: what makes no sense is refused before any work.
func TestPeersRefuses(t *testing.T) {
	input := writeMemory(t, memory(8))
	dir := t.TempDir()
	for _, test := range []struct {
		args []string
		word string
	}{
		{[]string{"peers"}, "input"},
		{[]string{"peers", "--input", input + "x"}, input + "x"},
		{[]string{"peers", "--input", input, "--runs", "0"}, "at least one"},
		{[]string{"peers", "--input", input, "--faults", "-1"}, "at least one"},
		{[]string{"peers", "--input", input, "--advice", "bad"}, `"bad"`},
		{[]string{"peers", "--input", writeMemory(t, nil)}, "no page"},
		{[]string{"open", "--runs", "0"}, "at least one"},
		{[]string{"memory"}, "input"},
		{[]string{"nonsense"}, `"nonsense"`},
	} {
		args := test.args
		if args[0] != "nonsense" {
			args = append(args, "--sabrefs", "/bin/false", "--work-dir", dir)
		}
		o := bench(t, args...)
		if o.code != 1 || !strings.HasPrefix(o.stderr, "sabrefs-bench: ") || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, test.word) {
			t.Errorf("%v: exit code %d, standard error %q", args, o.code, o.stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

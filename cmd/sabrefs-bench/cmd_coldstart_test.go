package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/prefetch"
	"sabrefs/store"
	"sabrefs/tests/guest"
)

// pythonGuest is the snapshot of a real guest.
func pythonGuest(t *testing.T) qemu.Snapshot {
	t.Helper()
	requireMounts(t)
	snapshot, err := guest.Build(t.Context(), os.Stderr)
	noError(t, err)
	return snapshot
}

// TestColdstart starts one function of a real guest once on each side.
func TestColdstart(t *testing.T) {
	snapshot := pythonGuest(t)
	dir, outDir := workDir(t), t.TempDir()
	o := bench(t, "coldstart", "--json", "--runs", "1", "--recordings", "2", "--guest", snapshot.Dir, "--parent", snapshot.Dir, "--functions", "fibonacci",
		"--sabrefs", buildSabrefs(t), "--work-dir", dir, "--out", outDir)
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	var report struct{ Rows []coldRow }
	noError(t, json.Unmarshal([]byte(o.stdout), &report))
	if len(report.Rows) != 1 {
		t.Fatalf("%d rows: %s", len(report.Rows), o.stdout)
	}
	row := report.Rows[0]
	if row.Function != "fibonacci" || row.Guest != "python" || row.WorkingSetMB <= 0 || row.PackedMB <= 0 || row.Ratio <= 1 {
		t.Errorf("row %+v", row)
	}
	if len(row.ColdStarts) != 7 || len(row.Restores) != 5 {
		t.Errorf("%d cold starts and %d restores, want seven and five", len(row.ColdStarts), len(row.Restores))
	}
	for _, side := range row.ColdStarts {
		if side.TotalMS <= side.AfterStartMS || side.AfterStartMS <= side.IncomingMS || side.IncomingMS <= 0 || side.FirstAnswerMS <= 0 {
			t.Errorf("phases do not add up: %+v", side)
		}
	}
	if raw, layer := row.ColdStarts[0], row.ColdStarts[5]; raw.FileMB != float64(512<<20)/1e6 || layer.FileMB <= 0 || layer.FileMB > 0.01*raw.FileMB {
		t.Errorf("%s has %v MB, %s on itself %v MB", raw.Side, raw.FileMB, layer.Side, layer.FileMB)
	}
	for _, side := range row.Restores {
		if side.TotalMS <= 0 {
			t.Errorf("no time: %+v", side)
		}
	}
	pages, err := readTracePages(filepath.Join(outDir, "fibonacci.ws"))
	if err != nil || float64(len(pages)*pageBytes)/1e6 != row.WorkingSetMB {
		t.Errorf("the kept trace has %d pages (%v), the row %v MB", len(pages), err, row.WorkingSetMB)
	}
	kept, err := os.ReadFile(filepath.Join(outDir, "coldstart.json"))
	if err != nil || string(kept) != o.stdout {
		t.Errorf("coldstart.json is not what was printed: %v", err)
	}
	if table, err := os.ReadFile(filepath.Join(outDir, "coldstart.txt")); err != nil || len(table) == 0 {
		t.Errorf("coldstart.txt: %q, %v", table, err)
	}
}

// packWithTrace packs a memory and its working set, and returns the paths of memory,
// trace and image.
func packWithTrace(t *testing.T, sabrefs string, pageCount int) (memPath, tracePath, imagePath string) {
	t.Helper()
	memPath = writeMemory(t, memory(pageCount))
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.sabre")
	_, err := sabrefsBinary(sabrefs).run(t.Context(), "pack", memPath, plain)
	noError(t, err)
	header, err := store.ReadHeader(plain)
	noError(t, err)
	trace := prefetch.Trace{Image: header.Identity, RawBytes: header.RawBytes, Runs: 1}
	for page := range uint32(pageCount) {
		if page%5 < 2 {
			trace.Touches = append(trace.Touches, prefetch.Touch{Page: (page*7 + 3) % uint32(pageCount), AtMicros: page, Runs: 1})
		}
	}
	tracePath, imagePath = filepath.Join(dir, "mem_file.ws"), filepath.Join(dir, "laidout.sabre")
	noError(t, trace.WriteFile(tracePath))
	_, err = sabrefsBinary(sabrefs).run(t.Context(), "pack", "--working-set", tracePath, memPath, imagePath)
	noError(t, err)
	return memPath, tracePath, imagePath
}

// TestFault replays a trace of made-up memory once on each side.
func TestFault(t *testing.T) {
	requireMounts(t)
	sabrefs := buildSabrefs(t)
	const pageCount = 2003 // no multiple of seven, so that each page is touched once
	memPath, tracePath, _ := packWithTrace(t, sabrefs, pageCount)
	o := bench(t, "fault", "--json", "--runs", "1", "--input", memPath, "--trace", tracePath, "--sabrefs", sabrefs, "--work-dir", workDir(t))
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	rows := decodeRows(t, o.stdout)
	if len(rows) != 5 {
		t.Errorf("%d rows, want five sides: %s", len(rows), o.stdout)
	}
	for _, row := range rows {
		for _, key := range []string{"size_bytes", "pages", "total_ms", "mean_us", "p50_us", "p99_us", "max_us"} {
			if figure, _ := row[key].(float64); figure <= 0 {
				t.Errorf("%s of %v is %v", key, row["name"], row[key])
			}
		}
	}
}

// TestPrefetch pushes a made-up working set, and lets three clones touch it.
func TestPrefetch(t *testing.T) {
	requireMounts(t)
	sabrefs := buildSabrefs(t)
	_, tracePath, imagePath := packWithTrace(t, sabrefs, 2003)
	o := bench(t, "prefetch", "--json", "--runs", "1", "--image", imagePath, "--image", imagePath, "--trace", tracePath, "--clones", "3",
		"--sabrefs", sabrefs, "--work-dir", workDir(t))
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	rows := decodeRows(t, o.stdout)
	if len(rows) != 2 {
		t.Errorf("%d rows, want one for each image: %s", len(rows), o.stdout)
	}
	for _, row := range rows {
		for _, key := range []string{"set_frames", "pushed_mb", "mb_per_s", "clones", "alone_ms", "clone_p50_ms", "clone_p95_ms", "clone_p95_to_alone"} {
			if figure, _ := row[key].(float64); figure <= 0 {
				t.Errorf("%s of %v is %v", key, row["image"], row[key])
			}
		}
	}
}

func TestParseStats(t *testing.T) {
	const text = `{"mount": {"decoded_frames": 12}, "files": [{"name": "mem_file", "demand": {"decode": {"count": 2}, "cache": {"count": 7}},
		"prefetch": {"state": "done", "frames": 10, "pushed_pages": 10, "pushed_bytes": 40960, "wall_seconds": 0.5}}]}`
	got, err := parseStats([]byte(text))
	if want := (mountStats{State: prefetchDone, PushedBytes: 40960, WallSeconds: 0.5, FramesDecoded: 12}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := parseStats([]byte(`{"files": [{"name": "mem_file"}]}`)); err != nil || got != (mountStats{}) {
		t.Errorf("without prefetch: %+v, %v", got, err)
	}
	for _, text := range []string{"", "[]", `{"files": []}`, `{"files": [{}, {}]}`} {
		if got, err := parseStats([]byte(text)); err == nil {
			t.Errorf("%q became %+v", text, got)
		}
	}
}

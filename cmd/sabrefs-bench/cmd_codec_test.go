package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// requireLibdeflate fails where libdeflate cannot be compared.
func requireLibdeflate(t *testing.T) {
	t.Helper()
	if err := compileC(t.Context(), libdeflateSource, filepath.Join(t.TempDir(), "driver"), "-ldeflate"); err != nil {
		t.Fatalf("%v; tests/deps.sh installs it", err)
	}
}

// benchWithPath is bench with another PATH.
func benchWithPath(t *testing.T, path string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "PATH="+path)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatalf("running sabrefs-bench %v: %v", args, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// rowName says what a row is about, in one word for each of these keys.
func rowName(row map[string]any) string {
	var words []string
	for _, key := range []string{"codec", "stream", "level", "engine", "frame_bytes", "mode", "jobs", "size_bytes"} {
		switch value := row[key].(type) {
		case float64:
			words = append(words, fmt.Sprint(int(value)))
		case string:
			words = append(words, value)
		}
	}
	return strings.Join(words, " ")
}

// wantSaneRow checks keys and figures of one row of codec.
func wantSaneRow(t *testing.T, row map[string]any) {
	t.Helper()
	name := rowName(row)
	required := []string{"codec", "compress_mb_per_s", "decompress_mb_per_s", "engine", "frame_bytes", "level", "p50_us", "p99_us", "ratio"}
	for key := range row {
		if !slices.Contains(required, key) && !slices.Contains([]string{"jobs", "mode", "size_bytes", "stream"}, key) {
			t.Errorf("%s has the key %q", name, key)
		}
	}
	for _, key := range required {
		if row[key] == nil {
			t.Errorf("%s has no %q", name, key)
		}
	}
	figure := func(key string) float64 {
		value, _ := row[key].(float64)
		return value
	}
	compresses := row["stream"] != nil
	if figure("decompress_mb_per_s") <= 0 || figure("p50_us") <= 0 || figure("p99_us") < figure("p50_us") ||
		compresses && figure("compress_mb_per_s") <= 0 || figure("frame_bytes") < 4096 {
		t.Errorf("%s has %v", name, row)
	}
	if compressed := compresses && row["codec"] != "raw"; compressed != (figure("ratio") > 1.2) || !compressed && figure("ratio") != 1 {
		t.Errorf("%s has a ratio of %v", name, row["ratio"])
	}
}

// TestCodec runs the smallest measurement with all parts.
func TestCodec(t *testing.T) {
	requireLibdeflate(t)
	dir := workDir(t)
	o := bench(t, "codec", "--json", "--rounds", "2", "--input", writeMemory(t, memory(96)), "--work-dir", dir)
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	seen := map[string]int{}
	for _, row := range decodeRows(t, o.stdout) {
		wantSaneRow(t, row)
		seen[rowName(row)]++
	}
	for _, want := range wantedCodecRows() {
		if seen[want] == 0 {
			t.Errorf("there is no row %q", want)
		}
	}
	for name, count := range seen {
		if count > 1 {
			t.Errorf("%d rows are %q", count, name)
		}
	}
	if t.Failed() {
		t.Logf("rows: %q", slices.Sorted(maps.Keys(seen)))
	}
}

// wantedCodecRows are the rows that no machine lacks.
func wantedCodecRows() []string {
	rows := []string{
		"deflate software 5 software 4096 naive", "deflate software 5 software 65536 continuous", "deflate software 5 software 262144 continuous",
		"deflate software 5 software 4096 shared", "deflate software 9 software 4096 shared",
		"raw 0 kernel 65536 read 65536", "raw 0 kernel 262144 read 262144",
		"deflate software 5 software 16384 decode 65536", "deflate software 5 software 16384 decode 262144",
		"zstd klauspost 1 klauspost 4096", "zstd densezstd 2 klauspost 16384", "zstd densezstd 4 klauspost 131072",
		"lz4 pierrec 1 pierrec 4096", "lz4 pierrec 4 pierrec 65536",
	}
	for _, frameBytes := range []int{4096, 16384, 65536} {
		for _, level := range []int{1, 5, 9} {
			rows = append(rows, fmt.Sprintf("deflate software %d software %d", level, frameBytes))
		}
		for _, row := range []string{
			"deflate libdeflate 6 libdeflate", "deflate libdeflate 6 software", "deflate libdeflate 6 klauspost", "deflate libdeflate 6 stdlib",
			"deflate software 5 libdeflate", "deflate klauspost 6 klauspost", "deflate stdlib 6 stdlib", "raw memcpy 0 memcpy",
		} {
			rows = append(rows, fmt.Sprintf("%s %d", row, frameBytes))
		}
		rows = append(rows, fmt.Sprintf("deflate software 5 software %d single", frameBytes), fmt.Sprintf("deflate libdeflate 6 software %d single", frameBytes))
		for _, mode := range []string{"touched", "untouched"} {
			rows = append(rows, fmt.Sprintf("deflate software 5 software %d %s", frameBytes, mode), fmt.Sprintf("raw memcpy 0 memcpy %d %s", frameBytes, mode))
		}
	}
	for level := 1; level <= 9; level++ {
		rows = append(rows, fmt.Sprintf("deflate software %d software 4096", level), fmt.Sprintf("deflate software %d software 16384", level))
	}
	for _, jobs := range []int{1, 2, 4, 8, 16, 32} {
		rows = append(rows, fmt.Sprintf("deflate software 5 software 4096 %d", jobs), fmt.Sprintf("deflate software 5 software 16384 %d", jobs))
	}
	return rows
}

// TestCodecTable: people get a table and the figures that matter.
func TestCodecTable(t *testing.T) {
	requireLibdeflate(t)
	o := bench(t, "codec", "--parts", "deflate", "--pages", "16", "--rounds", "3", "--input", writeMemory(t, memory(200)), "--work-dir", workDir(t))
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	for _, want := range []string{
		"decode MB/s", "16 KiB: speed of software to libdeflate, both decoding libdeflate's stream ", "4 KiB: speed of software to libdeflate, each decoding its own stream ",
		"16 KiB: ratio of software's level 9 to libdeflate's level 6 ", "4 KiB: ratio of software's level 9 to libdeflate's level 6 ",
	} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("the table has no %q:\n%s", want, o.stdout)
		}
	}
	if strings.Contains(o.stdout, "zstd") || strings.Contains(o.stdout, "NaN") || strings.Contains(o.stdout, "Inf") {
		t.Errorf("the table has what it should not:\n%s", o.stdout)
	}
}

// TestCodecWithoutLibdeflate: without a compiler, or with one that cannot, there
// are fewer rows and a note.
func TestCodecWithoutLibdeflate(t *testing.T) {
	broken := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(broken, "cc"), []byte("#!/bin/sh\necho no header >&2\nexit 1\n"), 0o755))
	input := writeMemory(t, memory(12))
	for path, word := range map[string]string{t.TempDir(): "cc", broken: "no header"} {
		o := benchWithPath(t, path, "codec", "--json", "--parts", "deflate", "--rounds", "1", "--input", input, "--work-dir", workDir(t))
		if o.code != 0 || !strings.Contains(o.stderr, "note: without libdeflate") || !strings.Contains(o.stderr, word) {
			t.Fatalf("exit code %d, standard error %q", o.code, o.stderr)
		}
		engines := map[any]bool{}
		for _, row := range decodeRows(t, o.stdout) {
			wantSaneRow(t, row)
			engines[row["engine"]] = true
		}
		if !engines["software"] || !engines["stdlib"] || engines["libdeflate"] {
			t.Errorf("without libdeflate the engines are %v", engines)
		}
	}
}

// TestCodecFiles: where there are no direct reads there is a note.
func TestCodecFiles(t *testing.T) {
	o := bench(t, "codec", "--json", "--parts", "files", "--rounds", "1", "--input", writeMemory(t, memory(200)), "--work-dir", workDir(t))
	if o.code != 0 {
		t.Fatalf("exit code %d: %s", o.code, o.stderr)
	}
	modes := map[any]bool{}
	for _, row := range decodeRows(t, o.stdout) {
		modes[row["mode"]] = true
	}
	noted := strings.Contains(o.stderr, "note: rows \"read-direct\"")
	if !modes["read"] || !modes["decode"] || modes["read-direct"] == noted || modes["decode-from-file"] == noted {
		t.Errorf("modes are %v, standard error %q", modes, o.stderr)
	}
}

// TestCodecRefuses: what makes no sense is refused before any work.
func TestCodecRefuses(t *testing.T) {
	input := writeMemory(t, memory(8))
	for _, test := range []struct {
		args []string
		word string
	}{
		{nil, "input"},
		{[]string{"--input", input + "x"}, input + "x"},
		{[]string{"--input", input, "--rounds", "0"}, "0 rounds"},
		{[]string{"--input", input, "--pages", "-1"}, "at least one"},
		{[]string{"--input", input, "--sample-mb", "0"}, "at least one"},
		{[]string{"--input", input, "--parts", "deflate,gzip"}, `"gzip"`},
		{[]string{"--input", writeMemory(t, make([]byte, 8*pageBytes))}, "no page"},
		{[]string{"--input", input, "--work-dir", input}, "not a directory"},
	} {
		o := bench(t, append([]string{"codec"}, test.args...)...)
		if o.code != 1 || !strings.HasPrefix(o.stderr, "sabrefs-bench: ") || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, test.word) {
			t.Errorf("%v: exit code %d, standard error %q", test.args, o.code, o.stderr)
		}
	}
}

// TestOnOneCPU: the thread, and what it starts, stay on one CPU; afterwards the
// thread is what it was.
func TestOnOneCPU(t *testing.T) {
	count := func() int {
		var set unix.CPUSet
		noError(t, unix.SchedGetaffinity(0, &set))
		return set.Count()
	}
	inside, err := onOneCPU(t.Output(), func() (string, error) {
		if n := count(); n != 1 {
			t.Errorf("the thread may run on %d CPUs", n)
		}
		out, err := exec.CommandContext(t.Context(), "nproc").Output()
		return strings.TrimSpace(string(out)), err
	})
	noError(t, err)
	if inside != "1" {
		t.Errorf("a process may run on %s CPUs", inside)
	}
	if _, err := onOneCPU(t.Output(), func() (int, error) { return 0, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("the error is %v", err)
	}
}

// TestCodecWithDevice: an accelerator, here a modeled one, is measured beside the
// software, on the software's streams and on its own.
func TestCodecWithDevice(t *testing.T) {
	t.Setenv(iaa.EngineVariable, iaa.ChooseModel)
	b := testBench(t, memory(24)[:20*pageBytes])
	defer closeBench(t, b)
	b.flags.parts = []string{partDeflate, partFaults, partJobs}
	b.engines = openEngines(t.Output())
	if len(b.engines) != 2 || b.engines[1].Name() != "model" {
		t.Fatalf("%d engines", len(b.engines))
	}
	rows, err := b.measure(t.Context())
	noError(t, err)
	for _, want := range []codecRow{
		{Stream: "software", Level: 5, FrameBytes: 4096}, {Stream: "model", Level: 1, FrameBytes: 4096}, {Stream: "model", Level: 3, FrameBytes: 4096},
		{Stream: "software", Level: 5, FrameBytes: 65536}, {Stream: "model", Level: 3, FrameBytes: 65536},
		{Stream: "software", Level: 5, FrameBytes: 16384, Mode: modeUntouched},
		{Stream: "software", Level: 5, FrameBytes: 16384, Mode: modeSingle},
		{Stream: "software", Level: 5, FrameBytes: 4096, Mode: modeShared},
	} {
		want.Codec, want.Engine = partDeflate, "model"
		if row, found := findRow(rows, want); !found || row.DecompressMBPerS <= 0 || row.Ratio <= 1 {
			t.Errorf("the row like %+v is %+v", want, row)
		}
	}
	if !slices.ContainsFunc(rows, func(r codecRow) bool { return r.Engine == "model" && r.Jobs == 32 && r.FrameBytes == 4096 }) {
		t.Error("no row of the device has 32 jobs")
	}
	if done := b.engines[1].Stats(); done.Decompressed == 0 || done.Compressed == 0 || len(done.QueuesLost) > 0 {
		t.Errorf("the device did %+v", done)
	}
}

// TestCodecOfUnknownEngine: a wrong choice is noted, and software measured.
func TestCodecOfUnknownEngine(t *testing.T) {
	t.Setenv(iaa.EngineVariable, "nonsense")
	o := bench(t, "codec", "--json", "--parts", "jobs", "--rounds", "1", "--input", writeMemory(t, memory(8)), "--work-dir", workDir(t))
	if o.code != 0 || !strings.Contains(o.stderr, "note: without an accelerator: SABREFS_IAA=nonsense") {
		t.Errorf("exit code %d, standard error %q", o.code, o.stderr)
	}
}

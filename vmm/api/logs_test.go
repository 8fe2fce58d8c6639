package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLog(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "log")
	b.must(`PUT /logger {"log_path":"DIR/log","level":"Info","show_level":true,"show_log_origin":true}`)
	logger := b.server.logger.With("vcpu", 1).WithGroup("run")
	logger.Info("two\nlines", "n", 7)
	logger.Debug("not wanted")
	b.do("GET /foo")
	b.must(`PUT /logger {"log_path":"DIR/log2"}`)
	b.server.logger.Info("below Warning")
	b.server.logger.Warn("elsewhere")
	text := readFile(t, path)
	want := []string{
		` \[i-1:INFO:logger.go:\d+\] Running sabrefs as Firecracker v1.0.0`,
		` \[i-1:INFO:logs_test.go:\d+\] two\\nlines vcpu=1 run.n=7`,
		` \[i-1:INFO:routes.go:\d+\] The API server received a request method=GET path=/foo`,
		` \[i-1:ERROR:routes.go:\d+\] Received Error status=400 message=Invalid request method and/or path: GET foo.`,
		` \[i-1:INFO:routes.go:\d+\] The API server received a request method=PUT path=/logger`,
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, expected %d:\n%s", len(lines), len(want), text)
	}
	for i, line := range lines {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}` + want[i] + `$`).MatchString(line) {
			t.Errorf("line %q, expected %s", line, want[i])
		}
	}
	if text := readFile(t, filepath.Join(b.dir, "log2")); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "[i-1] elsewhere\n") {
		t.Errorf("the second log holds %q", text)
	}
}

func TestOwnLogIsWrittenToo(t *testing.T) {
	var own bytes.Buffer
	s, err := NewServer(Options{Logger: slog.New(slog.NewTextHandler(&own, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.logger.With("a", 1).WithGroup("g").Warn("message", "b", 2)
	s.logger.WithGroup("").Debug("not wanted")
	if got := own.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "level=WARN msg=message a=1 g.b=2\n") {
		t.Errorf("own log %q", got)
	}
}

func TestMetrics(t *testing.T) {
	s := newBench(t).serve()
	s.must(`PUT /metrics {"metrics_path":"DIR/metrics"}`)
	s.request(`PUT /boot-source {}`)
	s.must(paused...)
	s.must(`PUT /snapshot/create {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`,
		`PUT /actions {"action_type":"FlushMetrics"}`, `GET /version`)
	s.cancel()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(readFile(t, filepath.Join(s.dir, "metrics")), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: one for FlushMetrics and one at the end were expected", len(lines))
	}
	first, last := decodeMetrics(t, lines[0]), decodeMetrics(t, lines[1])
	for name, want := range map[string]uint64{"boot_source_count": 2, "boot_source_fails": 1, "actions_count": 1, "drive_count": 1, "snapshot_create_count": 1} {
		if first.Put[name] != want {
			t.Errorf("%s is %d, expected %d", name, first.Put[name], want)
		}
	}
	if first.Patch["vm_count"] != 1 || first.UTCMillis == 0 {
		t.Errorf("%s", lines[0])
	}
	for _, name := range []string{"instance_start", "pause_vm", "full_create_snapshot"} {
		if _, ok := first.Latencies[name]; !ok {
			t.Errorf("no %s in %s", name, lines[0])
		}
	}
	// Counters are since the line before.
	if len(last.Patch) != 0 || last.Get["vmm_version_count"] != 1 || last.Put["boot_source_count"] != 0 {
		t.Errorf("%s", lines[1])
	}
}

func decodeMetrics(t *testing.T, line string) metricsLine {
	t.Helper()
	var m metricsLine
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

// A pipe that nobody reads does not hold the server; what did not fit is
// counted.
func TestPipes(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"log", "metrics"} {
		if err := unix.Mkfifo(filepath.Join(b.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.must(`PUT /logger {"log_path":"DIR/log","level":"Debug"}`, `PUT /metrics {"metrics_path":"DIR/metrics"}`)
	const lines, lenBytes = 100, 2000 // a pipe holds 64 KiB
	for range lines {
		b.server.logger.Info(strings.Repeat("x", lenBytes))
	}
	b.must(running...)
	b.must(`PUT /actions {"action_type":"FlushMetrics"}`)
	pipe, err := os.OpenFile(filepath.Join(b.dir, "metrics"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if missed := decodeMetrics(t, line).Logger["missed_log_count"]; missed < lines/2 || missed > lines+20 {
		t.Errorf("%d of %d lines are said to be missed", missed, lines)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

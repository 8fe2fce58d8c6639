package api

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// The transcript shows what goes over the socket, byte by byte, from the first
// connection to the end of the guest. Lines that begin with > are sent, those
// with < received.
func TestTranscript(t *testing.T) {
	s := newBench(t).serve()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	received := bufio.NewReader(conn)
	var b strings.Builder
	for _, line := range []string{
		`GET /machine-config`,
		`PUT /logger {"log_path":"DIR/log","level":"Debug","show_level":true,"show_log_origin":false}`,
		`PUT /metrics {"metrics_path":"DIR/metrics"}`,
		`PUT /machine-config {"mem_size_mib":64,"smt":false,"track_dirty_pages":true,"vcpu_count":1}`,
		`PUT /boot-source {"boot_args":"mib=32","kernel_image_path":"DIR/kernel"}`,
		`PUT /drives/1 {"drive_id":"1","is_read_only":false,"is_root_device":true,"path_on_host":"DIR/disk"}`,
		`GET /`,
		`PATCH /vm {"state":"Paused"}`,
		`PUT /actions {"action_type":"InstanceStart"}`,
		`GET /`,
		`GET /version`,
		`PUT /machine-config {"mem_size_mib":64,"vcpu_count":1}`,
		`PUT /snapshot/create {"mem_file_path":"DIR/m","snapshot_path":"DIR/s"}`,
		`PATCH /vm {"state":"Paused"}`,
		`GET /`,
		`PUT /snapshot/create {"mem_file_path":"DIR/m","snapshot_path":"DIR/s","snapshot_type":"Diff"}`,
		`PATCH /drives/1 {"drive_id":"1","path_on_host":"DIR/disk2"}`,
		`GET /vm/config`,
		`PATCH /vm {"state":"Resumed"}`,
		`GET /nothing`,
		`DELETE /drives/1`,
		`PUT /actions {"action_type":"Unknown"}`,
		`PUT /actions {"action_type":"FlushMetrics"}`,
		`PUT /actions {"action_type":"SendCtrlAltDel"}`,
	} {
		method, rest, _ := strings.Cut(line, " ")
		path, body, _ := strings.Cut(rest, " ")
		fmt.Fprintf(&b, "> %s\n", line)
		body = strings.ReplaceAll(body, "DIR", s.dir)
		if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
			t.Fatal(err)
		}
		b.WriteString(strings.ReplaceAll(readAnswer(t, received), s.dir, "DIR"))
	}
	s.launcher.current(t).end(nil)
	if rest, err := io.ReadAll(received); err != nil || len(rest) > 0 {
		t.Errorf("after the end of the guest: %q, %v", rest, err)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	compareGolden(t, filepath.Join("testdata", "transcript.txt"), b.String())
}

// readAnswer returns the next answer as it is on the wire. Lengths of
// documents that hold the name of a directory are of no interest.
func readAnswer(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	var wire strings.Builder
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(oneByOne{from}, &wire)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimRight(strings.ReplaceAll(wire.String(), "\r\n", "\n"), "\n")
	length := fmt.Sprintf("Content-Length: %d", answer.ContentLength)
	if answer.ContentLength > 200 {
		text = strings.Replace(text, length, "Content-Length: ...", 1)
	}
	return "< " + strings.ReplaceAll(text, "\n", "\n< ") + "\n"
}

// oneByOne keeps a buffered reader from reading into the next answer.
type oneByOne struct{ r *bufio.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; with -update it is rewritten. Now:\n%s", path, got)
	}
}

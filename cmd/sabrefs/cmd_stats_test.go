package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestRecordRepackPrefetch goes the whole way of a working set: a recorded run, the
// image laid out by it, and a mount that is ahead of the next run, as its counts
// say.
func TestRecordRepackPrefetch(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	traces := filepath.Join(realTempDir(t), "traces") // made by the mount
	sabrefs(t, "mount", "--record", traces, storeDir, point)
	touched := readPages(t, point, memory)
	sabrefs(t, "umount", point)
	trace := filepath.Join(traces, "guest", "mem_file.ws")
	if info := sabrefs(t, "ws", "info", trace); !strings.Contains(info, "1") || len(readFile(t, trace)) == 0 {
		t.Errorf("ws info says %q", info)
	}
	sabrefs(t, "repack", "--working-set", traces, storeDir)
	sabrefs(t, "verify", storeDir)

	sabrefs(t, "mount", storeDir, point)
	held := openMemory(t, point)
	var stats statsReport
	eventually(t, "prefetch is done", func() bool {
		stats = decodeJSON[statsReport](t, sabrefs(t, "stats", "--json", point))
		return len(stats.Files) == 1 && stats.Files[0].Prefetch != nil && stats.Files[0].Prefetch.State == "done"
	})
	p := stats.Files[0].Prefetch
	if p.Set != "image" || p.Planned != int64(touched) || p.Used != p.Planned || p.Late+p.Evicted+p.BadFrames+p.FailedPushes != 0 {
		t.Errorf("prefetch of %d pages: %+v", touched, *p)
	}
	text := sabrefs(t, "stats", point)
	for _, word := range []string{"guest/mem_file", "working set from image", "0 late", "prefetch ws"} {
		if !strings.Contains(text, word) {
			t.Errorf("stats do not say %q:\n%s", word, text)
		}
	}
	wantContent(t, filepath.Join(point, "guest", "mem_file"), memory)
	noError(t, held.Close())
	sabrefs(t, "umount", point)
	wantGone(t, point)
}

// readPages reads every fourth page of the memory file by itself, and returns how
// many they are.
func readPages(t *testing.T, point string, memory []byte) (pages int) {
	t.Helper()
	f, err := os.Open(filepath.Join(point, "guest", "mem_file"))
	noError(t, err)
	defer f.Close()
	const pageBytes = 4096
	for off := 0; off+pageBytes <= len(memory); off += 4 * pageBytes {
		b := make([]byte, pageBytes)
		_, err := f.ReadAt(b, int64(off))
		noError(t, err)
		if string(b) != string(memory[off:off+pageBytes]) {
			t.Fatalf("other bytes at %d", off)
		}
		pages++
	}
	return pages
}

func TestStatsRefuses(t *testing.T) {
	refused(t, exitUsage, []string{"stats", realTempDir(t)}, "no store is mounted")
	refused(t, exitUsage, []string{"stats"}, "expected 1 arguments")
}

// TestMetrics asks the daemon as Prometheus does.
func TestMetrics(t *testing.T) {
	point := mountPoint(t)
	storeDir, memory := packedStore(t)
	log := filepath.Join(realTempDir(t), "log")
	sabrefs(t, "mount", "--metrics-addr", "127.0.0.1:0", "--log-file", log, storeDir, point)
	readPages(t, point, memory)
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(string(readFile(t, log)))
	if address == nil {
		t.Fatalf("the log does not say where: %s", readFile(t, log))
	}
	text := scrape(t, address[1])
	for _, line := range []string{
		`sabrefs_opens_total{file="guest/mem_file"} 1`,
		`sabrefs_read_errors_total{file="guest/mem_file"} 0`,
		`sabrefs_users{file="guest/mem_file"} 0`,
		`sabrefs_refused_writes_total 0`,
		`sabrefs_demand_seconds_bucket{file="guest/mem_file",source="decode",le="+Inf"}`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	noError(t, err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sabrefs_") {
			t.Errorf("metric %s: %s", p.Metric, p.Text)
		}
	}
	sabrefs(t, "umount", point)
	wantGone(t, point)
	if conn, err := net.Dial("tcp", address[1]); err == nil {
		_ = conn.Close()
		t.Errorf("somebody still answers at %s", address[1])
	}
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	noError(t, err)
	answer, err := http.DefaultClient.Do(request)
	noError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	noError(t, err)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", answer.Status, body)
	}
	return string(body)
}

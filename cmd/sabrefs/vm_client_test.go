//go:build amd64

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeVMM answers as a machine's monitor would, and keeps what it was asked.
type fakeVMM struct {
	mu     sync.Mutex
	state  string
	asked  []string
	refuse map[string]string // request line to fault message
}

// startFakeVMM returns the path of its control socket.
func startFakeVMM(t *testing.T, f *fakeVMM) (socket string) {
	t.Helper()
	socket = filepath.Join(publicTempDir(t), "vm.sock")
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", socket)
	noError(t, err)
	server := &http.Server{Handler: f, ReadHeaderTimeout: vmAnswerTimeout}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		noError(t, server.Close())
		<-done
	})
	return socket
}

func (f *fakeVMM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	request := strings.TrimSpace(r.Method + " " + r.URL.Path + " " + string(body))
	f.asked = append(f.asked, request)
	if message, ok := f.refuse[r.Method+" "+r.URL.Path]; ok {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"fault_message": message})
		return
	}
	switch r.URL.Path {
	case "/":
		_, _ = fmt.Fprintf(w, `{"id":"one","state":%q,"app_name":"sabrefs","vmm_version":"1"}`, f.state)
		return
	case "/vm":
		f.state = map[bool]string{true: instancePaused, false: instanceRunning}[strings.Contains(string(body), "Paused")]
	case "/snapshot/create":
		var paths map[string]string
		_ = json.Unmarshal(body, &paths)
		for _, path := range []string{paths["mem_file_path"], paths["snapshot_path"]} {
			if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *fakeVMM) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.asked, want) {
		t.Errorf("asked:\n  %s\nwant:\n  %s", strings.Join(f.asked, "\n  "), strings.Join(want, "\n  "))
	}
	f.asked = nil
}

func TestVMSnapshotCommand(t *testing.T) {
	f := &fakeVMM{state: instanceRunning}
	socket := startFakeVMM(t, f)
	dir := filepath.Join(t.TempDir(), "new", "one")
	create := func(kind string) string {
		return fmt.Sprintf(`PUT /snapshot/create {"mem_file_path":"%s/mem_file","snapshot_path":"%s/snapshot_file","snapshot_type":"%s"}`, dir, dir, kind)
	}
	const describe, pause, resume = `GET /`, `PATCH /vm {"state":"Paused"}`, `PATCH /vm {"state":"Resumed"}`

	out := sabrefs(t, "vm", "snapshot", "--api-sock", socket, dir)
	if !strings.HasPrefix(out, dir+": 8KiB of memory") {
		t.Errorf("printed %q", out)
	}
	f.wantAsked(t, describe, pause, create("Full"), resume)

	var row vmSnapshotRow
	noError(t, json.Unmarshal([]byte(sabrefs(t, "vm", "snapshot", "--api-sock", socket, "--diff", "--keep-paused", "--json", dir)), &row))
	if row.Kind != "Diff" || row.RawBytes != 8192 || row.MemFile != filepath.Join(dir, memoryFileName) || !row.LeftPausedAfter {
		t.Errorf("printed %+v", row)
	}
	f.wantAsked(t, describe, pause, create("Diff"))

	// paused before: left so
	sabrefs(t, "vm", "snapshot", "--api-sock", socket, dir)
	f.wantAsked(t, describe, create("Full"))
	sabrefs(t, "vm", "resume", "--api-sock", socket)
	f.wantAsked(t, describe, resume)
	sabrefs(t, "vm", "stop", "--api-sock", socket)
	f.wantAsked(t, describe, `PUT /actions {"action_type":"SendCtrlAltDel"}`)
}

// TestVMSnapshotGoesOnAfterFailure: a machine that was paused for nothing runs again.
func TestVMSnapshotGoesOnAfterFailure(t *testing.T) {
	f := &fakeVMM{state: instanceRunning, refuse: map[string]string{"PUT /snapshot/create": "no space left on device"}}
	socket := startFakeVMM(t, f)
	refused(t, exitFailure, []string{"vm", "snapshot", "--api-sock", socket, t.TempDir()}, "no space left on device", "400")
	if f.state != instanceRunning {
		t.Errorf("the machine is left %s", f.state)
	}
}

func TestVMControlRefused(t *testing.T) {
	f := &fakeVMM{state: instanceNotStarted}
	socket := startFakeVMM(t, f)
	for _, args := range [][]string{{"snapshot", t.TempDir()}, {"resume"}, {"pause"}, {"stop"}} {
		args = append([]string{"vm"}, args...)
		refused(t, exitFailure, append(args, "--api-sock", socket), "has not been started")
		refused(t, exitNotFound, append(args, "--api-sock", socket+"x"), socket+"x")
		refused(t, exitUsage, args, "api-sock")
	}
}

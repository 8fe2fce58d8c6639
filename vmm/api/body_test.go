package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzBodies gives any bytes to every route. Whatever they are, the answer is
// one that clients can read, and what is refused changes nothing.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"vcpu_count":1,"mem_size_mib":128}`, `{"action_type":"FlushMetrics"}`, `{"state":"Paused"}`,
		`{"snapshot_path":"s","mem_backend":{"backend_path":"m","backend_type":"Uffd"}}`,
		`{"drive_id":"a","path_on_host":"body_test.go","is_root_device":true,"is_read_only":true}`,
		`{"a":{"b":[{"c":1e400}]}}`, `{"boot_args":"\ud800"}`, "\x00", `[[[[`, `{"a":1,"a":2}`, ` {} `,
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte) {
		t.Chdir(dir) // logs are made where the body says
		if strings.Contains(string(body), "log_path") || strings.Contains(string(body), "metrics_path") {
			return
		}
		for _, r := range routes {
			if r.do == nil {
				continue
			}
			launcher := &fakeLauncher{}
			s, err := NewServer(Options{Launcher: launcher.launcher()})
			if err != nil {
				t.Fatal(err)
			}
			before := s.getVMConfig()
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(r.method, "/"+r.path+"a", strings.NewReader(string(body))))
			if !strings.HasSuffix(r.path, "/") {
				w = httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(r.method, "/"+r.path, strings.NewReader(string(body))))
			}
			checkAnswer(t, w, before, s)
		}
	})
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder, before any, s *Server) {
	t.Helper()
	if w.Code == 204 {
		if w.Body.Len() != 0 {
			t.Errorf("204 with the body %q", w.Body)
		}
		return
	}
	var document struct {
		Message string `json:"fault_message"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || document.Message == "" {
		t.Errorf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if then, now := asJSON(t, before), asJSON(t, s.getVMConfig()); then != now {
		t.Errorf("refused with %q, and changed\n%s\nto\n%s", document.Message, then, now)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

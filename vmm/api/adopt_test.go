package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAdopt: clients see a machine that was made without them as if they had started
// it, and the server takes it along when it ends.
func TestAdopt(t *testing.T) {
	b := newBench(t)
	m := b.launcher.newMachine(Running, Shape{VCPUCount: 3, MemoryBytes: 96 << 20})
	if err := b.server.Adopt(m); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Adopt(m); !errors.Is(err, ErrOneMachine) {
		t.Errorf("a second one: %v", err)
	}
	s := b.serve()
	for _, step := range []struct {
		line   string
		status int
		words  string
	}{
		{"GET /", http.StatusOK, `"state":"Running"`},
		{"GET /machine-config", http.StatusOK, `"vcpu_count":3`},
		{`PUT /actions {"action_type":"InstanceStart"}`, http.StatusBadRequest, "after starting"},
		{`PATCH /vm {"state":"Paused"}`, http.StatusNoContent, ""},
	} {
		if status, body := s.request(step.line); status != step.status || !strings.Contains(body, step.words) {
			t.Errorf("%s: %d %s, want %d and %q", step.line, status, body, step.status, step.words)
		}
	}
	m.end(errTestGuest)
	if err := <-s.ended; !errors.Is(err, errTestGuest) {
		t.Errorf("the server ended with %v", err)
	}
	if want := []string{"Pause", "Close"}; !slices.Equal(m.called(), want) {
		t.Errorf("the machine was asked for %v, want %v", m.called(), want)
	}
}

var errTestGuest = errors.New("the guest fell over")

// TestAdoptTooLate: what a client has configured is not put aside.
func TestAdoptTooLate(t *testing.T) {
	b := newBench(t)
	s := b.serve()
	if status, body := s.request(`PUT /machine-config {"vcpu_count":2,"mem_size_mib":64}`); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, body)
	}
	if err := b.server.Adopt(b.launcher.newMachine(Running, Shape{})); !errors.Is(err, ErrOneMachine) {
		t.Errorf("got %v", err)
	}
}

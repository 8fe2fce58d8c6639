package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// served is a server that listens.
type served struct {
	*bench
	socket string
	cancel context.CancelFunc
	ended  chan error
	client *http.Client
}

// serve starts the bench's server on a socket, and waits until it listens.
func (b *bench) serve() *served {
	b.t.Helper()
	// The directory of a test may have a long name.
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(b.t.Context())
	s := &served{bench: b, socket: filepath.Join(dir, "s"), cancel: cancel, ended: make(chan error, 1)}
	b.t.Cleanup(cancel)
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}}
	b.t.Cleanup(s.client.CloseIdleConnections)
	go func() { s.ended <- b.server.Serve(ctx, s.socket) }()
	for {
		// It has its name a moment before it is listened on.
		if conn, err := net.Dial("unix", s.socket); err == nil {
			if err := conn.Close(); err != nil {
				b.t.Error(err)
			}
			return s
		}
		select {
		case err := <-s.ended:
			b.t.Fatalf("the server ended: %v", err)
		default:
		}
	}
}

// request sends "METHOD PATH BODY" over the socket.
func (s *served) request(line string) (int, string) {
	s.t.Helper()
	method, rest, _ := strings.Cut(strings.ReplaceAll(line, "DIR", s.dir), " ")
	path, body, _ := strings.Cut(rest, " ")
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (s *served) must(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if code, body := s.request(line); code >= 300 {
			s.t.Fatalf("%s: %d %s", line, code, body)
		}
	}
}

// end waits for Serve, and checks that nothing is left.
func (s *served) end() error {
	s.t.Helper()
	err := <-s.ended
	if _, statErr := os.Lstat(s.socket); !errors.Is(statErr, fs.ErrNotExist) {
		s.t.Errorf("the socket is left behind: %v", statErr)
	}
	s.launcher.mu.Lock()
	defer s.launcher.mu.Unlock()
	if m := s.launcher.machine; m != nil && !slices.Contains(m.called(), "Close") {
		s.t.Error("the machine is left behind")
	}
	return err
}

func TestServeEndsWithTheGuest(t *testing.T) {
	crash := errors.New("triple fault")
	for _, why := range []error{nil, crash} {
		s := newBench(t).serve()
		s.must(running...)
		s.launcher.current(t).end(why)
		if err := s.end(); !errors.Is(err, why) {
			t.Errorf("the guest ended with %v, Serve with %v", why, err)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	for _, state := range [][]string{nil, configured, running, paused} {
		s := newBench(t).serve()
		s.must(state...)
		s.cancel()
		if err := s.end(); err != nil {
			t.Errorf("after %d requests: %v", len(state), err)
		}
	}
}

func TestServeEndsWithAFailedLoad(t *testing.T) {
	s := newBench(t).serve()
	damaged := errors.New("damaged")
	s.launcher.fail["Restore"] = damaged
	code, body := s.request(`PUT /snapshot/load {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`)
	if code != 400 || body != `{"fault_message":"Load microVM snapshot error: damaged"}` {
		t.Errorf("answer %d %s", code, body)
	}
	if err := s.end(); !errors.Is(err, damaged) {
		t.Errorf("Serve: %v", err)
	}
}

// A load that is refused before it begins is no reason to end.
func TestServeGoesOnAfterARefusedLoad(t *testing.T) {
	s := newBench(t).serve()
	if code, _ := s.request(`PUT /snapshot/load {"snapshot_path":"DIR/s"}`); code != 400 {
		t.Errorf("status %d", code)
	}
	s.must(`PUT /snapshot/load {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`)
	s.cancel()
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// The end of the server ends what a client waits for, and the client hears so.
func TestServeEndsASnapshotThatTakesLong(t *testing.T) {
	b := newBench(t)
	b.launcher.block = make(chan struct{})
	s := b.serve()
	s.must(paused...)
	answer := make(chan string, 1)
	go func() {
		_, body := s.request(`PUT /snapshot/create {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`)
		answer <- body
	}()
	<-b.launcher.block
	s.cancel()
	if got := <-answer; got != `{"fault_message":"Cannot create snapshot: context canceled"}` {
		t.Errorf("the client heard %s", got)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// Clients that hang up do not stop what they asked for.
func TestSnapshotOutlivesItsClient(t *testing.T) {
	b := newBench(t)
	b.launcher.block = make(chan struct{})
	s := b.serve()
	s.must(paused...)
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"snapshot_path":"a","mem_file_path":"b"}`
	if _, err := fmt.Fprintf(conn, "PUT /snapshot/create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	<-b.launcher.block
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if b.server.ctx.Err() != nil {
		t.Error("the client ended the context")
	}
	s.cancel()
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestManyClients(t *testing.T) {
	s := newBench(t).serve()
	s.must(running...)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				state := []string{"Paused", "Resumed"}[(i+j)%2]
				if code, body := s.request(`PATCH /vm {"state":"` + state + `"}`); code != 204 {
					t.Errorf("%d %s", code, body)
				}
				if code, body := s.request("GET /"); code != 200 {
					t.Errorf("%d %s", code, body)
				}
			}
		})
	}
	wg.Wait()
	// Every change was from the other state: nobody was let in between.
	calls := s.launcher.current(t).called()[1:]
	for i, call := range calls {
		if want := []string{"Pause", "Resume"}[i%2]; call != want {
			t.Fatalf("call %d is %s: %v", i, call, calls)
		}
	}
	s.cancel()
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestOversizedBodies(t *testing.T) {
	s := newBench(t).serve()
	fits := `PUT /logger {"log_path":"` + strings.Repeat("x", maxBodyBytes-len(`{"log_path":""}`)) + `"}`
	if code, body := s.request(fits); code != 400 || !strings.Contains(body, "file name too long") {
		t.Errorf("51200 bytes: %d %s", code, body)
	}
	code, body := s.request(strings.Replace(fits, "xx", "xxx", 1))
	want := `{"fault_message":"Request payload with size 51201 is larger than the limit of 51200 allowed by server."}`
	if code != 413 || body != want {
		t.Errorf("51201 bytes: %d %s", code, body)
	}
	// In pieces, without a length.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://localhost/logger",
		io.MultiReader(bytes.NewReader(make([]byte, maxBodyBytes)), strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
		t.Errorf("in pieces: status %d, closing %v: %v", answer.StatusCode, answer.Close, err)
	}
	s.must("GET /")
	s.cancel()
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
)

const greetingLine = `{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}`

// fakeQEMU plays a list of exchanges on one end of a unix socket and records
// the commands that arrive at it.
type fakeQEMU struct {
	conn     net.Conn
	commands chan string
}

// startFakeQEMU greets, and then answers the n-th command with the n-th of
// replies, which may hold several lines. After the last it stays silent.
func startFakeQEMU(t *testing.T, replies ...string) (client net.Conn, fake *fakeQEMU) {
	t.Helper()
	client, serverFile, err := socketPair("fake QMP")
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.FileConn(serverFile)
	if err := errors.Join(err, serverFile.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
	})
	fake = &fakeQEMU{conn: server, commands: make(chan string, len(replies)+1)}
	go fake.play(replies)
	return client, fake
}

func (f *fakeQEMU) play(replies []string) {
	if _, err := io.WriteString(f.conn, greetingLine+"\r\n"); err != nil {
		return
	}
	commands := bufio.NewScanner(f.conn)
	for commands.Scan() {
		f.commands <- commands.Text()
		if len(replies) == 0 {
			continue
		}
		if _, err := io.WriteString(f.conn, replies[0]+"\r\n"); err != nil {
			return
		}
		replies = replies[1:]
	}
}

func newFakeMonitor(t *testing.T, replies ...string) (*Monitor, *fakeQEMU) {
	t.Helper()
	client, fake := startFakeQEMU(t, append([]string{`{"return": {}}`}, replies...)...)
	monitor, err := NewMonitor(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := <-fake.commands, `{"execute":"qmp_capabilities"}`; got != want {
		t.Fatalf("first command %s, want %s", got, want)
	}
	return monitor, fake
}

func TestMonitorSkipsEventsAndSendsArguments(t *testing.T) {
	monitor, fake := newFakeMonitor(t,
		`{"event": "STOP", "data": {}}`+"\n"+`{"event": "MIGRATION"}`+"\n"+`{"return": {"status": "paused"}}`,
		`{"return": {}}`)
	answer, err := monitor.Execute(t.Context(), "query-status", map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	var status struct{ Status string }
	if err := json.Unmarshal(answer, &status); err != nil || status.Status != "paused" {
		t.Errorf("answer %s (%v), want the status paused", answer, err)
	}
	if got, want := <-fake.commands, `{"execute":"query-status","arguments":{"a":1}}`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if _, err := monitor.Execute(t.Context(), "cont", nil); err != nil {
		t.Errorf("the command after an event: %v", err)
	}
}

func TestMonitorReportsRefusedCommandAndGoesOn(t *testing.T) {
	monitor, _ := newFakeMonitor(t,
		`{"error": {"class": "CommandNotFound", "desc": "no such thing"}}`, `{"return": 7}`)
	_, err := monitor.Execute(t.Context(), "nonsense", nil)
	if !errors.Is(err, ErrMonitor) {
		t.Fatalf("error %v, want one of class ErrMonitor", err)
	}
	if want := "QMP nonsense: QEMU refused the command: CommandNotFound: no such thing"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if answer, err := monitor.Execute(t.Context(), "next", nil); err != nil || string(answer) != "7" {
		t.Errorf("next command: %s, %v; want 7", answer, err)
	}
}

func TestMonitorStopsWaitingWhenContextEnds(t *testing.T) {
	monitor, fake := newFakeMonitor(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-fake.commands
		cancel()
	}()
	if _, err := monitor.Execute(ctx, "never-answered", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestMonitorReportsLostConnection(t *testing.T) {
	monitor, fake := newFakeMonitor(t)
	if err := fake.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := monitor.Execute(t.Context(), "quit", nil); err == nil {
		t.Error("a command on a lost connection succeeded")
	}
}

func TestMonitorRefusesOtherProtocols(t *testing.T) {
	for name, greeting := range map[string]string{
		"other JSON": `{"hello": "world"}`,
		"no JSON":    "SSH-2.0-OpenSSH",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			go func() { _, _ = io.WriteString(server, greeting+"\n") }()
			if _, err := NewMonitor(t.Context(), client); err == nil {
				t.Error("the greeting was accepted")
			}
		})
	}
}

func TestMigrationFinished(t *testing.T) {
	for _, test := range []struct {
		status       string
		wantFinished bool
		wantError    bool
	}{
		{`{"status": "active"}`, false, false},
		{`{}`, false, false},
		{`{"status": "completed"}`, true, false},
		{`{"status": "failed", "error-desc": "no room"}`, false, true},
		{`[]`, false, true},
	} {
		t.Run(test.status, func(t *testing.T) {
			monitor, _ := newFakeMonitor(t, `{"return": `+test.status+`}`)
			vm := &VM{monitor: monitor}
			finished, err := vm.migrationFinished(t.Context())
			if finished != test.wantFinished || (err != nil) != test.wantError {
				t.Errorf("finished %v, error %v; want %v, error: %v",
					finished, err, test.wantFinished, test.wantError)
			}
		})
	}
}

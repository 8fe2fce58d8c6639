package api

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// fakeMachine is a machine without a guest. It notes what it was asked to do.
type fakeMachine struct {
	mu    sync.Mutex
	state MachineState
	shape Shape
	calls []string
	fail  map[string]error // what a call returns
	done  chan struct{}
	err   error
	once  sync.Once
	// block, if not nil, holds Snapshot until its context ends.
	block chan struct{}
}

func (m *fakeMachine) call(name string, then MachineState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, name)
	if err := m.fail[name]; err != nil {
		return err
	}
	m.state = then
	return nil
}

func (m *fakeMachine) Start() error  { return m.call("Start", Running) }
func (m *fakeMachine) Pause() error  { return m.call("Pause", Paused) }
func (m *fakeMachine) Resume() error { return m.call("Resume", Running) }

func (m *fakeMachine) State() MachineState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *fakeMachine) Shape() Shape { return m.shape }

func (m *fakeMachine) SendCtrlAltDel() error {
	return m.call("SendCtrlAltDel", m.State())
}

func (m *fakeMachine) Snapshot(ctx context.Context, r SnapshotRequest) error {
	name := "Snapshot Full"
	if r.Diff {
		name = "Snapshot Diff"
	}
	if err := m.call(name, m.State()); err != nil {
		return err
	}
	if m.block != nil {
		close(m.block)
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.Join(os.WriteFile(r.StatePath, []byte("state"), 0o600),
		os.WriteFile(r.MemoryPath, []byte("memory"), 0o600))
}

func (m *fakeMachine) UpdateDrive(id, path string) error {
	return m.call("UpdateDrive "+id+" "+filepath.Base(path), m.State())
}

func (m *fakeMachine) Done() <-chan struct{} { return m.done }

func (m *fakeMachine) Err() error { return m.err }

func (m *fakeMachine) Close() error {
	m.end(nil)
	return m.call("Close", Ended)
}

// end is what a guest does that resets.
func (m *fakeMachine) end(err error) {
	m.once.Do(func() {
		m.mu.Lock()
		m.state, m.err = Ended, err
		m.mu.Unlock()
		close(m.done)
	})
}

func (m *fakeMachine) called() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.calls...)
}

// fakeLauncher makes fake machines, at most one at a time.
type fakeLauncher struct {
	mu       sync.Mutex
	machine  *fakeMachine
	boots    []BootRequest
	restores []RestoreRequest
	fail     map[string]error // of the machine, and "Boot" and "Restore"
	shape    Shape            // of a restored machine
	block    chan struct{}
}

func (l *fakeLauncher) launcher() Launcher {
	return Launcher{Boot: l.boot, Restore: l.restore}
}

func (l *fakeLauncher) boot(_ context.Context, r BootRequest) (Machine, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boots = append(l.boots, r)
	if err := l.fail["Boot"]; err != nil {
		return nil, err
	}
	return l.newMachine(NotStarted, r.Shape), nil
}

func (l *fakeLauncher) restore(_ context.Context, r RestoreRequest) (Machine, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restores = append(l.restores, r)
	if err := l.fail["Restore"]; err != nil {
		return nil, err
	}
	shape := l.shape
	shape.TrackDirtyPages = r.TrackDirtyPages
	return l.newMachine(Paused, shape), nil
}

func (l *fakeLauncher) newMachine(state MachineState, shape Shape) *fakeMachine {
	l.machine = &fakeMachine{state: state, shape: shape, fail: l.fail, done: make(chan struct{}), block: l.block}
	return l.machine
}

// current returns the machine that was made last.
func (l *fakeLauncher) current(tb testing.TB) *fakeMachine {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.machine == nil {
		tb.Fatal("no machine was made")
	}
	return l.machine
}

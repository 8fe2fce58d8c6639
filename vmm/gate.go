//go:build linux && amd64

package vmm

import (
	"fmt"
	"slices"
	"sync"
)

// State is what a machine does.
type State uint8

// States of a machine.
const (
	NotStarted State = iota
	Running
	Paused
	// Ended is final: the guest ended, or Close was called.
	Ended
)

func (s State) String() string {
	return [...]string{NotStarted: "not started", Running: "running", Paused: "paused", Ended: "ended"}[s]
}

// gate is what a vCPU passes each time before it runs: open while the machine
// is running, closed for good when it has ended. Between two passes a vCPU is
// inside, and somebody kicks it to have it come back to the gate.
type gate struct {
	mu      sync.Mutex
	changed sync.Cond // of any of:
	state   State
	inside  int
	reason  error // why it ended
}

func newGate(state State) *gate {
	g := &gate{state: state}
	g.changed.L = &g.mu
	return g
}

// enter waits until the machine runs; false means that it has ended.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.state == NotStarted || g.state == Paused {
		g.changed.Wait()
	}
	if g.state == Ended {
		return false
	}
	g.inside++
	return true
}

// leave is called by a vCPU that comes back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.changed.Broadcast()
}

// move changes the state, if it is one of from.
func (g *gate) move(to State, from ...State) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(from, g.state) {
		return fmt.Errorf("%w: it is %v", ErrState, g.state)
	}
	g.state = to
	g.changed.Broadcast()
	return nil
}

// end closes the gate for good. The first reason stays.
func (g *gate) end(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != Ended {
		g.state, g.reason = Ended, reason
		g.changed.Broadcast()
	}
}

// waitOutside waits until no vCPU is inside, and returns the state.
func (g *gate) waitOutside() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside > 0 {
		g.changed.Wait()
	}
	return g.state
}

func (g *gate) now() (State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.reason
}

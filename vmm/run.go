//go:build linux && amd64

package vmm

import (
	"errors"
	"fmt"
)

// Start runs a machine that was made by New.
func (m *Machine) Start() error { return m.run(NotStarted) }

// Resume runs a machine that is paused. It is no error if it runs already.
func (m *Machine) Resume() error { return m.run(Paused, Running) }

func (m *Machine) run(from ...State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch.mark(&m.watch.told)
	return m.gate.move(Running, from...)
}

// Pause stops all vCPUs, each at the end of an instruction. It is no error if
// they are stopped already.
func (m *Machine) Pause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.gate.move(Paused, Running, Paused); err != nil {
		return err
	}
	m.kick()
	if state := m.gate.waitOutside(); state != Paused {
		return fmt.Errorf("%w: it is %v", ErrState, state)
	}
	return m.tellPaused()
}

// tellPaused tells guests with KVM's clock that they were stopped: their
// watchdogs would take the gap for a hang.
func (m *Machine) tellPaused() error {
	var errs []error
	for _, cpu := range m.vcpus {
		errs = append(errs, cpu.NotifyPaused())
	}
	return errors.Join(errs...)
}

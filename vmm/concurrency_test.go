//go:build linux && amd64

package vmm

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sabrefs/tests/seedtest"
)

// TestKVMCallsFromEverywhere has many goroutines call everything in any order,
// and closes the machine under them. Nothing hangs, and no call fails but for the
// state of the machine.
func TestKVMCallsFromEverywhere(t *testing.T) {
	seed := seedtest.Rand(t).Uint64()
	out := newConsole()
	cfg := flatConfig(echo, out)
	cfg.VCPUCount, cfg.TrackDirtyPages = 2, true
	m := start(t, cfg)
	_ = out.wait(t, 0, "R")
	dir := t.TempDir()
	calls := []func() error{
		m.Pause, m.Resume, m.Start, m.SendCtrlAltDel,
		func() error { _, err := m.Input().Write([]byte("some keys")); return err },
		func() error { _, err := m.Snapshot(t.Context(), request(dir, "full", false)); return err },
		func() error { _, err := m.Snapshot(t.Context(), request(dir, "diff", true)); return err },
		func() error { _, _, _ = m.State(), m.Info(), m.Timings(); return m.Err() },
	}
	var callers sync.WaitGroup
	for i := range uint64(4) {
		callers.Go(func() {
			r := rand.New(rand.NewPCG(seed, i))
			for m.State() != Ended {
				err := calls[r.IntN(len(calls))]()
				if err != nil && !errors.Is(err, ErrState) && m.State() != Ended {
					t.Errorf("a call failed: %v", err)
				}
			}
		})
	}
	time.Sleep(2 * time.Second)
	mustNot(t, m.Close())
	callers.Wait()
	wantError(t, m.Err(), ErrStopped)
}

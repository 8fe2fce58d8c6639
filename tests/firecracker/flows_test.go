package firecracker_test

import (
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm/guest"
)

// flows are the six, by the names that vHive's example gives them.
var flows = []struct {
	name string
	run  func(*testing.T, vmm)
}{
	{"start_stop", startStop},
	{"start_snapshot_stop_resume_stop", snapshotResume},
	{"diff", diffResume},
	{"diff_packed", diffPacked},
	{"record_replay", recordReplay},
	{"record_replay_packed", recordReplayPacked},
}

// Everything but the virtual machine: SDK, sockets, processes and mounts.
func TestFlowsWithAFakeGuest(t *testing.T) {
	for _, flow := range flows {
		t.Run(flow.name, func(t *testing.T) { flow.run(t, fake(t)) })
	}
}

func TestKVMFlows(t *testing.T) {
	kvmtest.Need(t)
	for _, flow := range flows {
		t.Run(flow.name, func(t *testing.T) { flow.run(t, onKVM(t)) })
	}
}

func startStop(t *testing.T, v vmm) {
	t.Helper()
	for _, end := range []func(*vm){(*vm).shutDown, (*vm).stop} {
		m := v.start(t, bootConfig(t, t.TempDir(), false))
		m.waitReady()
		m.work()
		end(m)
	}
}

// takeSnapshot boots a guest, lets it work and writes a snapshot of it. It
// returns what the guest has done.
func takeSnapshot(t *testing.T, v vmm, dir string, diff bool) (before guest.Stat) {
	t.Helper()
	m := v.start(t, bootConfig(t, t.TempDir(), diff))
	m.waitReady()
	before = m.work()
	if diff {
		m.snapshot(dir, asDiff)
	} else {
		m.snapshot(dir)
	}
	m.stop()
	return before
}

// checkResume resumes a guest where it stopped, twice: a snapshot is not used
// up.
func checkResume(t *testing.T, v vmm, dir string, before guest.Stat) {
	t.Helper()
	for _, end := range []func(*vm){(*vm).shutDown, (*vm).stop} {
		m := v.resume(t, dir)
		m.checkGoesOn(before)
		end(m)
	}
}

func snapshotResume(t *testing.T, v vmm) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "guest")
	checkResume(t, v, dir, takeSnapshot(t, v, dir, false))
}

func diffResume(t *testing.T, v vmm) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "guest")
	checkResume(t, v, dir, takeSnapshot(t, v, dir, true))
}

// packedDiff returns a store with the diff of a guest.
func packedDiff(t *testing.T, v vmm) (store string, before guest.Stat) {
	t.Helper()
	snapshots, store := t.TempDir(), t.TempDir()
	dir := filepath.Join(snapshots, "guest")
	before = takeSnapshot(t, v, dir, true)
	run(t, "pack", dir, filepath.Join(store, "guest"))
	// From here on it can only come from the store.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return store, before
}

func diffPacked(t *testing.T, v vmm) {
	t.Helper()
	store, before := packedDiff(t, v)
	m := mount(t, store)
	checkResume(t, v, filepath.Join(m.dir, "guest"), before)
	m.release()
}

// record resumes a guest from a mount that records, and returns the traces.
func record(t *testing.T, v vmm, store string, before guest.Stat) (traces string) {
	t.Helper()
	traces = t.TempDir()
	m := mount(t, store, "--record", traces, "--record-window", "0")
	resumed := v.resume(t, filepath.Join(m.dir, "guest"))
	resumed.checkGoesOn(before)
	resumed.shutDown()
	m.release()
	info, err := os.Stat(filepath.Join(traces, "guest", "mem_file.ws"))
	if err != nil || info.Size() == 0 {
		t.Fatalf("no trace was recorded: %v", err)
	}
	return traces
}

func recordReplay(t *testing.T, v vmm) {
	t.Helper()
	store, before := packedDiff(t, v)
	traces := record(t, v, store, before)
	m := mount(t, store, "--working-set", traces)
	checkResume(t, v, filepath.Join(m.dir, "guest"), before)
	m.release()
}

func recordReplayPacked(t *testing.T, v vmm) {
	t.Helper()
	store, before := packedDiff(t, v)
	run(t, "repack", "--working-set", record(t, v, store, before), store)
	m := mount(t, store)
	checkResume(t, v, filepath.Join(m.dir, "guest"), before)
	m.release()
}

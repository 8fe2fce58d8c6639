//go:build linux && amd64

package vmm

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memfile"
	"sabrefs/vmm/state"
)

// echoMachine is a running echo guest that has answered some keys.
func echoMachine(t *testing.T, tracked bool) (*Machine, *console, int) {
	t.Helper()
	out := newConsole()
	cfg := flatConfig(echo, out)
	cfg.TrackDirtyPages = tracked
	m := start(t, cfg)
	return m, out, typeAndCheck(t, m, out, out.wait(t, 0, "R"), 1, "before")
}

const keysBefore = len("before")

func request(dir, name string, diff bool) SnapshotRequest {
	return SnapshotRequest{StatePath: filepath.Join(dir, name+".state"), MemoryPath: filepath.Join(dir, name+".mem"), Diff: diff}
}

func (r SnapshotRequest) restore(out *console) RestoreConfig {
	return RestoreConfig{StatePath: r.StatePath, MemoryPath: r.MemoryPath, Console: out, TrackDirtyPages: true}
}

func pauseAndSnapshot(t *testing.T, m *Machine, req SnapshotRequest) SnapshotReport {
	t.Helper()
	mustNot(t, m.Pause())
	report, err := m.Snapshot(t.Context(), req)
	mustNot(t, err)
	return report
}

// restored is a running machine that came from a snapshot.
func restored(t *testing.T, cfg RestoreConfig) *Machine {
	t.Helper()
	m, err := Restore(t.Context(), cfg)
	mustNot(t, err)
	t.Cleanup(func() { mustNot(t, m.Close()) })
	if m.State() != Paused {
		t.Fatalf("a restored machine is %v", m.State())
	}
	mustNot(t, m.Resume())
	return m
}

func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	mustNot(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Fatalf("got files %q, want %q", got, names)
	}
}

func TestKVMRestoredGuestGoesOn(t *testing.T) {
	dir := t.TempDir()
	m, out, said := echoMachine(t, false)
	req := request(dir, "full", false)
	report := pauseAndSnapshot(t, m, req)
	if !report.Complete || report.MemoryBytes != 8*mib || report.DataBytes >= 2*mib || report.StateBytes < 1000 {
		t.Errorf("got report %+v", report)
	}
	wantNames(t, dir, "full.state", "full.mem")
	mustNot(t, m.Resume())
	typeAndCheck(t, m, out, said, keysBefore+1, "the first goes on")
	for range 2 { // each from the same point
		otherOut := newConsole()
		other := restored(t, req.restore(otherOut))
		typeAndCheck(t, other, otherOut, 0, keysBefore+1, "again")
		timings := other.Timings()
		if !(timings.Open > 0 && timings.Open <= timings.Map && timings.Map < timings.State &&
			timings.State < timings.FirstInstruction && timings.FirstInstruction < timings.FirstOutput) {
			t.Errorf("got %+v", timings)
		}
	}
	typeAndCheck(t, m, out, said, keysBefore+1+len("the first goes on"), "after all")
}

// TestKVMClonesDoNotSeeEachOther lets two machines write the same pages of one file.
func TestKVMClonesDoNotSeeEachOther(t *testing.T) {
	m, _, _ := echoMachine(t, false)
	req := request(t.TempDir(), "full", false)
	pauseAndSnapshot(t, m, req)
	before, err := os.ReadFile(req.MemoryPath)
	mustNot(t, err)
	outs := [2]*console{newConsole(), newConsole()}
	clones := [2]*Machine{restored(t, req.restore(outs[0])), restored(t, req.restore(outs[1]))}
	said := [2]int{}
	for round, keys := range []string{"a", "bcd", "efgh"} {
		n := keysBefore + 1 + []int{0, 1, 4}[round]
		for i := range clones {
			said[i] = typeAndCheck(t, clones[i], outs[i], said[i], n, keys)
		}
	}
	after, err := os.ReadFile(req.MemoryPath)
	mustNot(t, err)
	if !slices.Equal(before, after) {
		t.Error("the guests changed the file that they came from")
	}
}

// TestKVMKeysTypedBeforeASnapshotAreAnswered leaves keys in the queue.
func TestKVMKeysTypedBeforeASnapshotAreAnswered(t *testing.T) {
	m, _, _ := echoMachine(t, false)
	mustNot(t, m.Pause())
	_, err := m.Input().Write([]byte("waiting"))
	mustNot(t, err)
	req := request(t.TempDir(), "full", false)
	_, err = m.Snapshot(t.Context(), req)
	mustNot(t, err)
	out := newConsole()
	restored(t, req.restore(out))
	var want []byte
	for i, key := range []byte("waiting") {
		want = append(want, echoed(key, keysBefore+1+i))
	}
	_ = out.wait(t, 0, string(want))
}

func TestKVMDiffSinceBootIsComplete(t *testing.T) {
	dir := t.TempDir()
	m, _, _ := echoMachine(t, true)
	req := request(dir, "diff", true)
	if report := pauseAndSnapshot(t, m, req); !report.Complete {
		t.Errorf("got report %+v", report)
	}
	out := newConsole()
	typeAndCheck(t, restored(t, req.restore(out)), out, 0, keysBefore+1, "again")
}

// TestKVMDiffs takes diffs of a machine and of one that was restored from it,
// and goes on from each after it was merged, and from none before.
func TestKVMDiffs(t *testing.T) {
	dir := t.TempDir()
	m, out, said := echoMachine(t, true)
	base := request(dir, "base", false)
	full := pauseAndSnapshot(t, m, base)
	mustNot(t, m.Resume())
	typeAndCheck(t, m, out, said, keysBefore+1, "12345")
	diff := request(dir, "diff", true)
	checkDiff(t, pauseAndSnapshot(t, m, diff), full)
	mergeAndGoOn(t, base, diff, keysBefore+6)

	out = newConsole()
	other := restored(t, base.restore(out))
	typeAndCheck(t, other, out, 0, keysBefore+1, "123")
	diff = request(dir, "other", true)
	checkDiff(t, pauseAndSnapshot(t, other, diff), full)
	mergeAndGoOn(t, base, diff, keysBefore+4)
	// A diff of a diff.
	mustNot(t, other.Resume())
	typeAndCheck(t, other, out, 3, keysBefore+4, "4")
	second := request(dir, "second", true)
	checkDiff(t, pauseAndSnapshot(t, other, second), full)
	mergeAndGoOn(t, diff, second, keysBefore+5)
}

func checkDiff(t *testing.T, diff, full SnapshotReport) {
	t.Helper()
	if diff.Complete || diff.DataBytes == 0 || diff.DataBytes >= full.DataBytes || diff.MemoryBytes != full.MemoryBytes {
		t.Errorf("got report %+v of a diff to %+v", diff, full)
	}
}

// mergeAndGoOn merges a diff with its base, into the diff's own file.
func mergeAndGoOn(t *testing.T, base, diff SnapshotRequest, n int) {
	t.Helper()
	mergeFiles(t, base, diff)
	out := newConsole()
	typeAndCheck(t, restored(t, diff.restore(out)), out, 0, n, "merged")
}

func mergeFiles(t *testing.T, base, diff SnapshotRequest) {
	t.Helper()
	_, err := Restore(t.Context(), diff.restore(nil))
	wantError(t, err, ErrIncomplete)
	mustNot(t, memfile.Merge(t.Context(), base.MemoryPath, diff.MemoryPath, diff.MemoryPath))
}

func TestKVMSnapshotsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	m, _, _ := echoMachine(t, false)
	_, err := m.Snapshot(t.Context(), request(dir, "running", false))
	wantError(t, err, ErrState)
	mustNot(t, m.Pause())
	_, err = m.Snapshot(t.Context(), request(dir, "untracked", true))
	wantError(t, err, ErrNotTracked)
	_, err = m.Snapshot(t.Context(), SnapshotRequest{StatePath: filepath.Join(dir, "a"), MemoryPath: dir + "/./a"})
	wantError(t, err, ErrTarget)
	_, err = m.Snapshot(t.Context(), SnapshotRequest{StatePath: filepath.Join(dir, "a"), MemoryPath: dir})
	wantError(t, err, ErrTarget)
	_, err = m.Snapshot(t.Context(), SnapshotRequest{StatePath: filepath.Join(dir, "no", "a"), MemoryPath: filepath.Join(dir, "b")})
	wantError(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Snapshot(ctx, request(dir, "canceled", false))
	wantError(t, err, context.Canceled)
	wantNames(t, dir)
}

// TestKVMFailedSnapshotLosesNothing has the disk overflow at a diff: the pages
// that were written are in the next one.
func TestKVMFailedSnapshotLosesNothing(t *testing.T) {
	dir, small := t.TempDir(), t.TempDir()
	m, out, said := echoMachine(t, true)
	base := request(dir, "base", false)
	pauseAndSnapshot(t, m, base)
	mustNot(t, m.Resume())
	typeAndCheck(t, m, out, said, keysBefore+1, "123")
	mustNot(t, m.Pause())
	mustNot(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=4096"))
	t.Cleanup(func() { mustNot(t, unix.Unmount(small, 0)) })
	for _, diff := range []bool{true, false} {
		_, err := m.Snapshot(t.Context(), request(small, "full", diff))
		wantError(t, err, unix.ENOSPC)
		wantNames(t, small)
	}
	diff := request(dir, "diff", true)
	_, err := m.Snapshot(t.Context(), diff)
	mustNot(t, err)
	mergeAndGoOn(t, base, diff, keysBefore+4)
}

// TestKVMSnapshotOfTheFileThatIsMapped replaces the file that a machine came from.
func TestKVMSnapshotOfTheFileThatIsMapped(t *testing.T) {
	m, _, _ := echoMachine(t, false)
	req := request(t.TempDir(), "full", false)
	pauseAndSnapshot(t, m, req)
	out := newConsole()
	other := restored(t, req.restore(out))
	said := typeAndCheck(t, other, out, 0, keysBefore+1, "x")
	pauseAndSnapshot(t, other, req)
	mustNot(t, other.Resume())
	typeAndCheck(t, other, out, said, keysBefore+2, "y")
	out = newConsole()
	typeAndCheck(t, restored(t, req.restore(out)), out, 0, keysBefore+2, "z")
}

// TestKVMMemoryThatVanishes truncates the file under a running guest: the guest
// ends, this process does not.
func TestKVMMemoryThatVanishes(t *testing.T) {
	m, _, _ := echoMachine(t, false)
	req := request(t.TempDir(), "full", false)
	pauseAndSnapshot(t, m, req)
	mustNot(t, os.Truncate(req.MemoryPath, 0))
	mustNot(t, os.Truncate(req.MemoryPath, 8*mib)) // as long as it should be, until it is mapped
	other, err := Restore(t.Context(), req.restore(nil))
	mustNot(t, err)
	t.Cleanup(func() { mustNot(t, other.Close()) })
	mustNot(t, os.Truncate(req.MemoryPath, 0))
	mustNot(t, other.Resume())
	wantError(t, ended(t, other), ErrMemoryFault)
}

func TestKVMSnapshotsThatAreBad(t *testing.T) {
	m, _, _ := echoMachine(t, false)
	good := request(t.TempDir(), "good", false)
	pauseAndSnapshot(t, m, good)
	file, err := os.ReadFile(good.StatePath)
	mustNot(t, err)
	flip := func(off int) []byte {
		b := slices.Clone(file)
		b[off] ^= 0x10
		return b
	}
	for _, c := range []struct {
		name  string
		file  []byte
		class error
	}{
		{"empty", nil, ErrNotState},
		{"text", []byte(strings.Repeat("something else ", 100)), ErrNotState},
		{"version", flip(8), ErrVersion},
		{"truncated", file[:len(file)-1], ErrDamaged},
		{"half", file[:len(file)/2], ErrDamaged},
		{"longer", append(slices.Clone(file), 0), ErrDamaged},
		{"flipped in the middle", flip(len(file) / 2), ErrDamaged},
		{"flipped at the end", flip(len(file) - 1), ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := good
			bad.StatePath = filepath.Join(t.TempDir(), "state")
			mustNot(t, os.WriteFile(bad.StatePath, c.file, 0o600))
			_, err := Restore(t.Context(), bad.restore(nil))
			wantError(t, err, c.class)
			if !strings.Contains(err.Error(), bad.StatePath) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
	for name, change := range changedSections() {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.StatePath = filepath.Join(t.TempDir(), "state")
			sections, err := state.Read(good.StatePath)
			mustNot(t, err)
			sections, class := change(sections)
			file, err := state.Encode(sections)
			mustNot(t, err)
			mustNot(t, os.WriteFile(bad.StatePath, file, 0o600))
			_, err = Restore(t.Context(), bad.restore(nil))
			wantError(t, err, class)
		})
	}
	for _, sizeBytes := range []int64{0, 4096, 8*mib - 4096, 8*mib + 1, 16 * mib} {
		bad := good
		bad.MemoryPath = filepath.Join(t.TempDir(), "mem")
		mustNot(t, os.WriteFile(bad.MemoryPath, nil, 0o600))
		mustNot(t, os.Truncate(bad.MemoryPath, sizeBytes))
		_, err := Restore(t.Context(), bad.restore(nil))
		wantError(t, err, ErrMemorySize)
	}
	bad := good
	bad.MemoryPath += "none"
	_, err = Restore(t.Context(), bad.restore(nil))
	wantError(t, err, os.ErrNotExist)
	cfg := good.restore(nil)
	cfg.Drives = map[string]string{"none": "file"}
	_, err = Restore(t.Context(), cfg)
	wantError(t, err, ErrConfig)
}

type sectionChange func([]state.Section) ([]state.Section, error)

// changedSections are state files whose checksums are right and whose contents
// are not.
func changedSections() map[string]sectionChange {
	machine := func(change func(*savedHardware), class error) sectionChange {
		return func(sections []state.Section) ([]state.Section, error) {
			return rewritten(sections, state.KindMachine, change), class
		}
	}
	contents := func(change func(*savedContents), class error) sectionChange {
		return func(sections []state.Section) ([]state.Section, error) {
			return rewritten(sections, state.KindMemory, change), class
		}
	}
	data := func(kind state.Kind, change func([]byte) []byte) sectionChange {
		return func(sections []state.Section) ([]state.Section, error) {
			i := slices.IndexFunc(sections, func(s state.Section) bool { return s.Kind == kind })
			sections[i].Data = change(sections[i].Data)
			return sections, ErrDamaged
		}
	}
	without := func(kind state.Kind) sectionChange {
		return func(sections []state.Section) ([]state.Section, error) {
			return slices.DeleteFunc(sections, func(s state.Section) bool { return s.Kind == kind }), ErrDamaged
		}
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	none := func([]byte) []byte { return nil }
	return map[string]sectionChange{
		"other hardware version": machine(func(h *savedHardware) { h.Version = 9 }, ErrVersion),
		"other memory version":   contents(func(c *savedContents) { c.Version = 9 }, ErrVersion),
		"huge memory":            machine(func(h *savedHardware) { h.MemoryBytes = 1 << 60 }, ErrDamaged),
		"negative memory":        machine(func(h *savedHardware) { h.MemoryBytes = -4096 }, ErrDamaged),
		"no vCPU":                machine(func(h *savedHardware) { h.VCPUCount = 0 }, ErrDamaged),
		"more vCPUs":             machine(func(h *savedHardware) { h.VCPUCount = 2 }, ErrDamaged),
		"many vCPUs":             machine(func(h *savedHardware) { h.VCPUCount = 1 << 30 }, ErrDamaged),
		"another size":           contents(func(c *savedContents) { c.SizeBytes = 4096 }, ErrDamaged),
		"many witnesses":         contents(func(c *savedContents) { c.Witnesses = make([]memfile.Witness, 100) }, ErrDamaged),
		"witness outside":        contents(func(c *savedContents) { c.Witnesses = []memfile.Witness{{Page: 1 << 40}} }, ErrDamaged),
		"witness before":         contents(func(c *savedContents) { c.Witnesses = []memfile.Witness{{Page: -1}} }, ErrDamaged),
		"no JSON":                data(state.KindMachine, half),
		"half a vCPU":            data(state.KindVCPU, half),
		"empty vCPU":             data(state.KindVCPU, none),
		"half a VM":              data(state.KindVM, half),
		"empty VM":               data(state.KindVM, none),
		"half a device":          data(state.KindDevice, half),
		"empty device":           data(state.KindDevice, none),
		"without machine":        without(state.KindMachine),
		"without memory":         without(state.KindMemory),
		"without vCPUs":          without(state.KindVCPU),
		"without VM":             without(state.KindVM),
		"without devices":        without(state.KindDevice),
		"a processor with more": func(sections []state.Section) ([]state.Section, error) {
			return withAllFeatures(sections), ErrMissingFeatures
		},
		"a kind from the future": func(sections []state.Section) ([]state.Section, error) {
			return append(sections, state.Section{Kind: 99}), ErrVersion
		},
		"one vCPU too many": func(sections []state.Section) ([]state.Section, error) {
			extra, _ := state.Find(sections, state.KindVCPU, 0)
			extra.Index = 1
			return append(sections, extra), ErrDamaged
		},
		"one device too many": func(sections []state.Section) ([]state.Section, error) {
			return append(sections, state.Section{Kind: state.KindDevice, Index: 77, Name: "serial"}), ErrDamaged
		},
		"another device": func(sections []state.Section) ([]state.Section, error) {
			i := slices.IndexFunc(sections, func(s state.Section) bool { return s.Kind == state.KindDevice })
			sections[i].Name = "flux capacitor"
			return sections, ErrDamaged
		},
	}
}

// withAllFeatures has the guest believe in every feature of CPUID leaf 7, which
// no processor has.
func withAllFeatures(sections []state.Section) []state.Section {
	i := slices.IndexFunc(sections, func(s state.Section) bool { return s.Kind == state.KindVCPU })
	var vcpu kvm.VCPUState
	if err := vcpu.UnmarshalBinary(sections[i].Data); err != nil {
		panic(err)
	}
	leaf := slices.IndexFunc(vcpu.CPUID, func(e kvm.CPUIDEntry) bool { return e.Function == 7 && e.Index == 0 })
	vcpu.CPUID[leaf].EBX = 1<<32 - 1
	data, err := vcpu.MarshalBinary()
	if err != nil {
		panic(err)
	}
	sections[i].Data = data
	return sections
}

func rewritten[T any](sections []state.Section, kind state.Kind, change func(*T)) []state.Section {
	i := slices.IndexFunc(sections, func(s state.Section) bool { return s.Kind == kind })
	var value T
	if err := json.Unmarshal(sections[i].Data, &value); err != nil {
		panic(err)
	}
	change(&value)
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	sections[i].Data = data
	return sections
}

// TestKVMNothingStays makes and closes machines, and counts what is left.
func TestKVMNothingStays(t *testing.T) {
	kvmtest.Need(t)
	dir := t.TempDir()
	cycle := func() {
		out := newConsole()
		cfg := flatConfig(echo, out)
		cfg.VCPUCount = 2
		m, err := New(t.Context(), cfg)
		mustNot(t, err)
		mustNot(t, m.Start())
		typeAndCheck(t, m, out, out.wait(t, 0, "R"), 1, "k")
		req := request(dir, "full", false)
		pauseAndSnapshot(t, m, req)
		mustNot(t, m.Close())
		mustNot(t, m.Close())
		other, err := Restore(t.Context(), req.restore(nil))
		mustNot(t, err)
		mustNot(t, other.Resume())
		mustNot(t, other.Close())
		unused, err := Restore(t.Context(), req.restore(nil))
		mustNot(t, err)
		mustNot(t, unused.Close())
		_, err = Restore(t.Context(), RestoreConfig{StatePath: req.StatePath, MemoryPath: req.StatePath})
		wantError(t, err, ErrMemorySize)
	}
	cycle() // what the runtime keeps is there afterwards
	before := takeInventory(t)
	for range 3 {
		cycle()
	}
	before.compare(t, takeInventory(t))
}

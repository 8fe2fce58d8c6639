//go:build linux && amd64

package vmm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sabrefs/vmm/memfile"
	"sabrefs/vmm/memory"
	"sabrefs/vmm/state"
)

// SnapshotRequest says where a snapshot goes.
type SnapshotRequest struct {
	StatePath  string
	MemoryPath string
	// Diff writes only the pages that were written since the machine booted,
	// was restored or had its last snapshot taken.
	Diff bool
}

// SnapshotReport tells what a snapshot has.
type SnapshotReport struct {
	StateBytes  int64 `json:"state_bytes"`
	MemoryBytes int64 `json:"memory_bytes"` // the size of the memory file
	DataBytes   int64 `json:"data_bytes"`   // what of it is no hole
	// Complete says that the memory file can be restored as it is. A diff that
	// is not complete is merged with its base first.
	Complete bool          `json:"complete"`
	Duration time.Duration `json:"duration_ns"`
}

// Snapshot writes the state and the memory of a paused machine to two files,
// which appear whole or, after an error, not at all. Files that had their names
// are replaced. The machine stays paused, and can go on.
func (m *Machine) Snapshot(ctx context.Context, req SnapshotRequest) (SnapshotReport, error) {
	began := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.alive, cancel)() // Close does not wait for us
	if state := m.State(); state != Paused {
		return SnapshotReport{}, fmt.Errorf("%w: it is %v, a snapshot is taken while it is paused", ErrState, state)
	}
	if err := m.checkRequest(req); err != nil {
		return SnapshotReport{}, err
	}
	report, err := m.snapshot(ctx, req)
	if err != nil {
		return SnapshotReport{}, err
	}
	report.Duration = time.Since(began)
	return report, nil
}

func (m *Machine) checkRequest(req SnapshotRequest) error {
	if req.Diff && !m.memory.Tracked() {
		return ErrNotTracked
	}
	same, err := samePath(req.StatePath, req.MemoryPath)
	if err != nil {
		return err
	}
	if same {
		return fmt.Errorf("%w: state and memory are both to be %s", ErrTarget, req.StatePath)
	}
	return errors.Join(memfile.CheckTarget(req.StatePath), memfile.CheckTarget(req.MemoryPath))
}

func samePath(a, b string) (bool, error) {
	one, err := filepath.Abs(a)
	if err != nil {
		return false, err
	}
	other, err := filepath.Abs(b)
	return one == other, err
}

func (m *Machine) snapshot(ctx context.Context, req SnapshotRequest) (SnapshotReport, error) {
	// The memory knows what is on the disks: they must be as durable.
	if err := errors.Join(m.collectDirty(), m.devices.sync()); err != nil {
		return SnapshotReport{}, err
	}
	complete := !req.Diff || m.complete
	occupied := m.memory.Occupied()
	defer occupied.Close()
	selection := memfile.Selection{KeepZeros: !complete, Occupied: occupied}
	if req.Diff {
		selection.Pages = m.memory.Written()
	}
	memoryFile, contents, err := memfile.Stage(ctx, req.MemoryPath, m.memory.Regions(), selection)
	if err != nil {
		return SnapshotReport{}, err
	}
	stateFile, stateBytes, err := m.stageState(req.StatePath, contents)
	if err != nil {
		return SnapshotReport{}, errors.Join(err, memoryFile.Discard())
	}
	if err := commit(req, memoryFile, stateFile); err != nil {
		return SnapshotReport{}, err
	}
	m.rebase()
	return SnapshotReport{
		StateBytes: stateBytes, MemoryBytes: contents.SizeBytes, DataBytes: contents.DataBytes, Complete: complete,
	}, nil
}

// collectDirty marks the pages that KVM saw written. KVM forgets them with that;
// the memory keeps them until a snapshot was successful.
func (m *Machine) collectDirty() error {
	if !m.memory.Tracked() {
		return nil
	}
	for slot, r := range m.memory.Regions() {
		words, err := m.vm.DirtyLog(uint32(slot), len(r.Bytes)/memory.PageBytes)
		if err != nil {
			return err
		}
		m.memory.MarkWritten(slot, words)
	}
	return nil
}

// rebase makes the snapshot that was just written the base of the next diff.
func (m *Machine) rebase() {
	if m.memory.Tracked() {
		m.memory.ForgetWritten()
		m.complete = false
	}
}

func (m *Machine) stageState(path string, contents memfile.Report) (*memfile.Staged, int64, error) {
	sections, err := m.save(savedContents{contentsVersion, contents.SizeBytes, contents.Witnesses})
	if err != nil {
		return nil, 0, err
	}
	file, err := state.Encode(sections)
	if err != nil {
		return nil, 0, err
	}
	staged, err := memfile.StageBytes(path, file)
	return staged, int64(len(file)), err
}

// commit gives both files their names. A crash in between must not leave the new
// memory with an old state: hence that is removed first.
func commit(req SnapshotRequest, memoryFile, stateFile *memfile.Staged) error {
	if err := os.Remove(req.StatePath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, memoryFile.Discard(), stateFile.Discard())
	}
	if err := memoryFile.Commit(); err != nil {
		return errors.Join(err, stateFile.Discard())
	}
	if err := stateFile.Commit(); err != nil {
		return errors.Join(err, os.Remove(req.MemoryPath))
	}
	return nil
}

package api

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// createSnapshot writes the two files of a snapshot.
func (s *Server) createSnapshot(r request) error {
	kind, version := "Full", speaksVersion
	var wanted SnapshotRequest
	var ignored bool
	err := decodeBody(r.body,
		field{name: "snapshot_type", read: optional(&ignored, variant(&kind, "Diff", "Full"))},
		field{name: "snapshot_path", required: true, read: hostPath(&wanted.StatePath)},
		field{name: "mem_file_path", required: true, read: hostPath(&wanted.MemoryPath)},
		field{name: "version", read: optional(&ignored, text(&version))})
	if err != nil {
		return err
	}
	wanted.Diff = kind == "Diff"
	switch {
	case version != speaksVersion:
		return refuse("Cannot translate microVM version to snapshot data version")
	case filepath.Clean(wanted.StatePath) == filepath.Clean(wanted.MemoryPath):
		return refuse("Cannot create snapshot: snapshot_path and mem_file_path are the same file")
	case s.machine.State() != Paused:
		return refuse(msgWhileRuns)
	case wanted.Diff && !s.machine.Shape().TrackDirtyPages:
		return unsupported(msgNotTracked)
	}
	began := time.Now()
	if err := s.machine.Snapshot(s.ctx, wanted); err != nil {
		return failed("Cannot create snapshot", err)
	}
	metric := "full_create_snapshot"
	if wanted.Diff {
		metric = "diff_create_snapshot"
	}
	s.metrics.took(metric, time.Since(began))
	return nil
}

// loadRequest is what a client says of the snapshot to load.
type loadRequest struct {
	RestoreRequest
	resume                bool
	hasMemory, hasBackend bool   // which of its two forms was used
	backend               string // of the later form
	overrides, wall       bool   // what is asked for and cannot be had
}

// loadSnapshot restores a machine in place of one that would be configured.
func (s *Server) loadSnapshot(r request) error {
	request, err := decodeLoad(r.body)
	if err != nil {
		return err
	}
	if s.config.touched {
		return refuse(msgLoadTooLate)
	}
	request.Logger = s.logger
	if err := s.restore(request); err != nil {
		// Firecracker's process ends here, and its clients count on it.
		f := failed("Load microVM snapshot error", err)
		s.end(err)
		return f
	}
	return nil
}

func (s *Server) restore(request *loadRequest) error {
	began := time.Now()
	m, err := s.opts.Launcher.Restore(s.ctx, request.RestoreRequest)
	if err != nil {
		return err
	}
	if request.resume {
		if err := m.Resume(); err != nil {
			s.discard(m)
			return err
		}
	}
	s.metrics.took("load_snapshot", time.Since(began))
	s.adoptShape(m.Shape())
	s.adopt(m)
	return nil
}

// adoptShape makes the configuration that of a restored machine.
func (s *Server) adoptShape(shape Shape) {
	s.config.machine = machineConfigOf(shape)
	s.config.drives = nil
	for _, d := range shape.Drives {
		s.config.drives = append(s.config.drives, driveConfig{
			ID: d.ID, Path: d.Path, Root: d.Root, ReadOnly: d.ReadOnly, CacheType: "Unsafe", IOEngine: "Sync",
		})
	}
}

// decodeLoad reads the body of snapshot/load, in its form of v1.0 and in that
// of later versions.
func decodeLoad(body []byte) (*loadRequest, error) {
	l := &loadRequest{}
	var ignored, diffs bool
	err := decodeBody(body,
		field{name: "snapshot_path", required: true, read: hostPath(&l.StatePath)},
		field{name: "mem_file_path", read: optional(&l.hasMemory, hostPath(&l.MemoryPath))},
		field{name: "mem_backend", read: optional(&l.hasBackend, object(
			field{name: "backend_path", required: true, read: hostPath(&l.MemoryPath)},
			field{name: "backend_type", required: true, read: variant(&l.backend, "File", "Uffd")}))},
		field{name: "enable_diff_snapshots", read: optional(&ignored, boolean(&diffs))},
		field{name: "track_dirty_pages", read: optional(&ignored, boolean(&l.TrackDirtyPages))},
		field{name: "resume_vm", read: optional(&ignored, boolean(&l.resume))},
		field{name: "network_overrides", read: optional(&ignored, l.networkOverrides)},
		field{name: "clock_realtime", read: optional(&ignored, boolean(&l.wall))})
	if err != nil {
		return nil, err
	}
	l.TrackDirtyPages = l.TrackDirtyPages || diffs
	return l, l.check()
}

// networkOverrides takes an empty list: there is no device to override.
func (l *loadRequest) networkOverrides(value json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return wrongType(value, "a sequence")
	}
	l.overrides = len(list) > 0
	return nil
}

func (l *loadRequest) check() error {
	const broken = "An error occurred when deserializing the json body of a request: "
	switch {
	case l.hasMemory && l.hasBackend:
		return refuse(broken + "too many fields: either `mem_backend` or `mem_file_path` exclusively is required.")
	case !l.hasMemory && !l.hasBackend:
		return refuse(broken + "missing field: either `mem_backend` or `mem_file_path` is required.")
	case l.backend == "Uffd":
		return unsupported("the memory backend Uffd; only File is.")
	case l.overrides:
		return unsupported("network devices.")
	case l.wall:
		return unsupported("clock_realtime.")
	}
	return nil
}

package api

import (
	"context"
	"log/slog"
)

// MachineState is what a machine is doing.
type MachineState int

// The states of a machine.
const (
	NotStarted MachineState = iota
	Running
	Paused
	Ended
)

// String returns the state as GET / shows it. A machine that has ended takes
// its server along; until then it is one that is not started any more.
func (s MachineState) String() string {
	switch s {
	case Running:
		return "Running"
	case Paused:
		return "Paused"
	default:
		return "Not started"
	}
}

// Machine is what the server needs of a virtual machine. Its methods may be
// called at the same time as Close, and only then at the same time.
type Machine interface {
	Start() error
	Pause() error
	Resume() error
	State() MachineState
	// Shape says what the machine is made of. After a restore it is the only
	// source of it.
	Shape() Shape
	SendCtrlAltDel() error
	// Snapshot is called on a paused machine.
	Snapshot(ctx context.Context, request SnapshotRequest) error
	// UpdateDrive puts another file behind a drive that the machine has. It
	// returns errors.ErrUnsupported if machines cannot do that.
	UpdateDrive(id, path string) error
	// Done is closed when the guest has ended, Err then says why: nil after
	// a reset or power-off by the guest.
	Done() <-chan struct{}
	Err() error
	// Close stops the guest by force and frees everything.
	Close() error
}

// Launcher makes machines. Both functions return a machine whose guest does
// not run yet, and leave nothing behind when they fail.
type Launcher struct {
	Boot    func(ctx context.Context, request BootRequest) (Machine, error)
	Restore func(ctx context.Context, request RestoreRequest) (Machine, error)
}

// Shape is what a machine is made of.
type Shape struct {
	VCPUCount       int
	MemoryBytes     int64
	TrackDirtyPages bool
	HugePages       bool
	Drives          []Drive
}

// Drive is a block device.
type Drive struct {
	ID       string
	Path     string
	ReadOnly bool
	// Root makes the drive the kernel's root, or the partition of it that
	// PartUUID names if it is not empty.
	Root     bool
	PartUUID string
}

// BootRequest describes a machine that starts at its kernel.
type BootRequest struct {
	Shape
	Kernel      string
	Initrd      string // empty: none
	CommandLine string // without what the launcher adds for the drives
	Logger      *slog.Logger
}

// RestoreRequest describes a machine that goes on where a snapshot was taken.
type RestoreRequest struct {
	StatePath       string
	MemoryPath      string
	TrackDirtyPages bool
	Logger          *slog.Logger
}

// SnapshotRequest says where a snapshot goes.
type SnapshotRequest struct {
	StatePath  string
	MemoryPath string
	Diff       bool // only pages that were written since the last snapshot
}

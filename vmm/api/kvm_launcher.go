//go:build linux && amd64

package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"sabrefs/vmm"
)

// KVMOptions say what machines have that no client asks for.
type KVMOptions struct {
	// Console gets what the guest prints.
	Console io.Writer
	// Created, if it is not nil, is called with each machine before its guest
	// runs: to connect its keyboard, or to keep it for its timings.
	Created func(*vmm.Machine)
}

// KVM makes real machines.
func KVM(opts KVMOptions) Launcher {
	return Launcher{Boot: opts.boot, Restore: opts.restore}
}

func (o KVMOptions) boot(ctx context.Context, r BootRequest) (Machine, error) {
	m, err := vmm.New(ctx, o.config(r))
	if err != nil {
		return nil, err
	}
	return o.created(m, r.HugePages, r.Logger), nil
}

// config turns a request into what the machine takes.
func (o KVMOptions) config(r BootRequest) vmm.Config {
	c := vmm.Config{
		MemoryBytes: r.MemoryBytes, VCPUCount: r.VCPUCount, TrackDirtyPages: r.TrackDirtyPages, HugePages: r.HugePages,
		Kernel: r.Kernel, Initrd: r.Initrd, CommandLine: r.CommandLine,
		Console: o.Console, Logger: r.Logger,
	}
	for _, d := range r.Drives {
		drive := vmm.Drive{ID: d.ID, Path: d.Path, ReadOnly: d.ReadOnly, Root: d.Root}
		if d.Root && d.PartUUID != "" {
			// The machine would name the whole disk. It stays the first: it is
			// the first in the list, and no other is the root.
			drive.Root = false
			c.CommandLine += " " + partitionRoot(d)
		}
		c.Drives = append(c.Drives, drive)
	}
	return c
}

// partitionRoot tells the kernel that its root is a partition.
func partitionRoot(d Drive) string {
	access := "rw"
	if d.ReadOnly {
		access = "ro"
	}
	return fmt.Sprintf("root=PARTUUID=%s %s", d.PartUUID, access)
}

func (o KVMOptions) restore(ctx context.Context, r RestoreRequest) (Machine, error) {
	m, err := vmm.Restore(ctx, vmm.RestoreConfig{
		StatePath: r.StatePath, MemoryPath: r.MemoryPath, TrackDirtyPages: r.TrackDirtyPages,
		Console: o.Console, Logger: r.Logger,
	})
	if err != nil {
		return nil, err
	}
	return o.created(m, false, r.Logger), nil
}

func (o KVMOptions) created(m *vmm.Machine, hugePages bool, log *slog.Logger) Machine {
	if o.Created != nil {
		o.Created(m)
	}
	return OfKVM(m, hugePages, log)
}

// OfKVM makes a machine that exists already one for [Server.Adopt].
func OfKVM(m *vmm.Machine, hugePages bool, log *slog.Logger) Machine {
	return kvmMachine{Machine: m, hugePages: hugePages, log: log}
}

// kvmMachine is a machine as the server knows it.
type kvmMachine struct {
	*vmm.Machine
	hugePages bool
	log       *slog.Logger
}

// State implements Machine.
func (m kvmMachine) State() MachineState {
	switch m.Machine.State() {
	case vmm.NotStarted:
		return NotStarted
	case vmm.Running:
		return Running
	case vmm.Paused:
		return Paused
	default:
		return Ended
	}
}

// Shape implements Machine.
func (m kvmMachine) Shape() Shape {
	info := m.Info()
	s := Shape{
		VCPUCount: info.VCPUCount, MemoryBytes: info.MemoryBytes,
		TrackDirtyPages: info.TrackDirtyPages, HugePages: m.hugePages,
	}
	for _, d := range info.Drives {
		s.Drives = append(s.Drives, Drive{ID: d.ID, Path: d.Path, ReadOnly: d.ReadOnly, Root: d.Root})
	}
	return s
}

// Snapshot implements Machine.
func (m kvmMachine) Snapshot(ctx context.Context, r SnapshotRequest) error {
	report, err := m.Machine.Snapshot(ctx, vmm.SnapshotRequest{StatePath: r.StatePath, MemoryPath: r.MemoryPath, Diff: r.Diff})
	if err != nil {
		return err
	}
	m.log.Info("snapshot", "diff", r.Diff, "complete", report.Complete, "state_bytes", report.StateBytes,
		"memory_bytes", report.MemoryBytes, "data_bytes", report.DataBytes, "duration", report.Duration)
	return nil
}

// UpdateDrive implements Machine.
func (m kvmMachine) UpdateDrive(id, path string) error {
	// The machine may learn it; the server then finds out by itself.
	if machine, ok := any(m.Machine).(interface{ UpdateDrive(id, path string) error }); ok {
		return machine.UpdateDrive(id, path)
	}
	return errors.ErrUnsupported
}

//go:build linux && amd64

package vmm

import (
	"errors"

	"sabrefs/vmm/boot"
	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memfile"
	"sabrefs/vmm/memory"
	"sabrefs/vmm/state"
	"sabrefs/vmm/virtio"
)

// What the caller asked for cannot be.
var (
	// ErrConfig is returned for a machine that cannot exist: too much memory, no
	// vCPU, a drive twice.
	ErrConfig = errors.New("invalid machine configuration")
	// ErrState is returned when a machine is not in the state that a call needs.
	ErrState = errors.New("not possible in this state of the machine")
	// ErrNotTracked is returned when a diff snapshot is asked for and nobody
	// kept track of what was written.
	ErrNotTracked = errors.New("written pages are not tracked")
	// ErrNotKernel is returned when a kernel is none.
	ErrNotKernel = boot.ErrNotKernel
	// ErrDoesNotFit is returned when the memory is too small for what is to be
	// loaded.
	ErrDoesNotFit = boot.ErrDoesNotFit
	// ErrDisk is returned when a drive's file cannot be a disk.
	ErrDisk = virtio.ErrDisk
)

// What this host lacks.
var (
	// ErrNoKVM is returned when there is no usable KVM.
	ErrNoKVM = kvm.ErrNoKVM
	// ErrPermission is returned when KVM may not be used.
	ErrPermission = kvm.ErrPermission
	// ErrMissingFeatures is returned when a snapshot needs a processor with more
	// features than this one has.
	ErrMissingFeatures = kvm.ErrMissingFeatures
)

// What is wrong with a snapshot.
var (
	// ErrNotState is returned for a state file that is none.
	ErrNotState = state.ErrNotState
	// ErrVersion is returned for a snapshot of another version.
	ErrVersion = state.ErrVersion
	// ErrArch is returned for a snapshot of another architecture.
	ErrArch = state.ErrArch
	// ErrDamaged is returned when a state file is truncated or changed, or when
	// what it says makes no sense.
	ErrDamaged = state.ErrDamaged
	// ErrMemorySize is returned when a memory file has another size than the
	// guest's memory, or a guest cannot have memory of this size.
	ErrMemorySize = memory.ErrSize
	// ErrIncomplete is returned when a memory file is a diff that was not merged
	// with its base.
	ErrIncomplete = memfile.ErrIncomplete
	// ErrHoles is returned when the filesystem cannot hold a diff.
	ErrHoles = memfile.ErrHoles
	// ErrTarget is returned when a snapshot would replace what is not a file.
	ErrTarget = memfile.ErrTarget
)

// Why a guest ended.
var (
	// ErrTripleFault ends a guest that could not handle an exception.
	ErrTripleFault = errors.New("triple fault of the guest")
	// ErrUnmapped ends a guest that wrote where there is neither memory nor a
	// device.
	ErrUnmapped = errors.New("guest wrote to an address where nothing is")
	// ErrMemoryFault ends a guest when its memory could not be read from the
	// file behind it.
	ErrMemoryFault = memory.ErrFault
	// ErrInternal ends a guest that KVM or the processor cannot run.
	ErrInternal = errors.New("guest cannot be run")
	// ErrStopped ends a guest that was stopped by Close.
	ErrStopped = errors.New("machine was stopped")
)

package guest

import (
	"context"

	"sabrefs/cmd/sabrefs-bench/qemu"
)

// Snapshot is a snapshot directory.
type Snapshot = qemu.Snapshot

// VM is a running QEMU.
type VM = qemu.VM

// laterSuffix makes the name of a second snapshot.
const laterSuffix = "-later"

// Later is the second snapshot of the same guest, beside the one that
// [Kind.Build] returns.
func Later(first Snapshot) Snapshot { return Snapshot{Dir: first.Dir + laterSuffix} }

// Resume restores the snapshot with the guest's RAM in memPath, which may lie
// on any filesystem, and lets the guest run. The VM ends with ctx.
func Resume(ctx context.Context, snapshot Snapshot, memPath string) (*VM, error) {
	return qemu.Resume(ctx, snapshot, memPath)
}

// ResumeWriting is Resume with the guest's writes going to memPath, which is best a
// copy: later snapshots are taken from it.
func ResumeWriting(ctx context.Context, snapshot Snapshot, memPath string) (*VM, error) {
	return qemu.ResumeWriting(ctx, snapshot, memPath)
}

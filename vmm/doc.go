// Package vmm is a small virtual machine monitor: it boots guests on KVM, takes
// snapshots of them and restores them.
//
// # Concepts
//
// A [Machine] has vCPUs, memory and few devices: a serial port as its console,
// a keyboard controller whose reset line and Ctrl-Alt-Del end it, a power
// switch, and disks (virtio). Interrupt controllers and timers are the
// kernel's.
//
// A snapshot is two files. The state file has what is in processors and
// devices, tens of kilobytes; docs/FORMAT-VMSTATE.md has its format. The memory
// file is the raw memory of the guest, sparse. [Restore] maps it privately: a page
// is read when the guest touches it and copied when the guest writes it. No
// part of a restore takes longer for more memory. The memory file is never
// changed, so that many machines can come from one, and it must stay what it is
// while one of them lives.
//
// A diff snapshot's memory file has the pages that were written since the
// machine booted, or was restored, or had its last snapshot taken. The first kind
// can be restored as it is; the others are merged with the memory file before
// (package memfile). Restore refuses one that was not.
//
// # Life of a machine
//
//	New      -> NotStarted -Start->  Running <-> Paused   (Pause, Resume, Snapshot)
//	Restore  -> Paused    -Resume->  Running
//	any state -> Ended: the guest turned itself off, or did what no guest can
//	          survive, or Close was called
//
// Done is closed when the guest has ended, and Err then says why. A machine that
// ended still has to be closed.
//
// # Concurrency
//
// All methods may be called from any goroutine, at any time. Each vCPU has a
// goroutine with a thread of its own; devices are called on the thread of the
// vCPU that accesses them. To pause, vCPUs are kicked out of the guest and wait
// at a gate, each at the end of an instruction; then nothing of the guest moves
// but its clocks, which run on as on a machine whose firmware took it away for
// a moment. Close ends all of these goroutines before it returns.
//
// # What it refuses
//
// More than [MaxVCPUs] vCPUs and [MaxMemoryBytes] of memory; firmware, PCI, graphics,
// network; snapshots of a processor with more features than this one.
//
// Everything but this comment is for Linux on amd64.
package vmm

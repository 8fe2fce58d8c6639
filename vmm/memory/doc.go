// Package memory is the RAM of a guest.
//
// # Concepts
//
// A guest addresses its memory by guest physical addresses (gpa), a memory file
// by offsets (fileOff). Below 3 GiB both are the same number. The fourth GiB
// belongs to devices, so memory beyond 3 GiB appears to the guest from 4 GiB
// on: there fileOff is gpa - 1 GiB. A stretch without a hole is a [Region]; a
// memory has one or two.
//
//	gpa      0 .......... 3 GiB      4 GiB ......... size + 1 GiB
//	fileOff  0 .......... 3 GiB = 3 GiB ............ size
//
// The memory is one mapping of this process: of nothing ([New]), where the
// kernel gives zeros, or of a file ([Map]), where a page is read when it is
// first touched and copied when it is first written. The file is never
// changed, and any number of guests may share its pages.
//
// # Who wrote a page
//
// KVM logs the pages that the guest writes. It does not see what this process
// writes for the guest: a kernel that is loaded, a block that is read from a
// disk. Hence there are two ways in: [Memory.Slice] to read and
// [Memory.SliceForWrite] to write, which also marks the pages. A slice for
// writing is used at once and not kept: a page that is written later than a
// snapshot would be missing in the next one.
//
// # Pages that nobody touched
//
// Most of a guest's memory may be zeros that the guest never touched, and to look
// at them would make them take room. [Occupied] asks the system which pages were
// touched, and the file where it has data.
//
// # Concurrency
//
// All methods but Close may be called from any goroutine; the bytes themselves
// are shared with the guest, which may change them at any time. Close takes the
// memory away from under everybody: whoever calls it has stopped the guest.
//
// # Faults
//
// A page of a mapped file that cannot be read (the file shrank, the disk
// failed, the filesystem went away) is no memory: touching it raises a signal.
// Code that touches guest memory therefore runs in [Guard], which turns the
// signal into [ErrFault].
package memory

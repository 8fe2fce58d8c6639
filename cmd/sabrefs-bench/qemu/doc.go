// Package qemu drives an unmodified qemu-system-x86_64: it boots a guest whose
// requests come over a serial port, takes snapshots of it and restores them.
//
// # What a snapshot is
//
// The guest's RAM is one file, mapped by QEMU as a memory-backend-file. With
// the migration capability x-ignore-shared QEMU writes only the state of the
// processor and the devices (some 300 KB) to a second file, and leaves the RAM
// where it is. So a snapshot is a directory of
//
//	mem_file       the guest's RAM, byte for byte
//	snapshot_file  QEMU's migration stream without the RAM
//	config.json    the machine the stream fits: a [Config]
//	answers.json   requests and the answers of the live guest: [Answer]s
//
// # Restoring
//
// [Resume] starts the same QEMU with the memory file mapped privately
// (share=off): QEMU never writes to it, and any number of clones may run from
// one file. The memory file may lie anywhere, in particular on a FUSE mount:
// QEMU opens it for reading and writing even so, and maps it. [Timings] says how
// long each phase took. [WarmUp] brings QEMU's own files into the page cache and
// touches no memory file, so that measurements with cold caches are of the
// memory file alone.
//
// # Rules
//
// A [VM] owns its process and its two sockets, which have no names; [VM.Close]
// ends both, and so does the end of the context. A VM is used by one goroutine
// at a time, different VMs are independent. Nothing here maps or reads a memory
// file when it resumes, so it may be used in the process that serves the file.
package qemu

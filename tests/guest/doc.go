// Package guest makes and restores snapshots of a real Linux guest, for tests
// and measurements that must show that an unmodified virtual machine monitor
// works on a mount.
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
// The guest ([Build]) is Debian's cloud kernel with python, numpy and PIL in an
// initramfs. Its only program, server.py, holds some tens of megabytes of the
// data that services hold and answers request lines on a serial port. Every
// answer is a function of guest memory alone, so a wrong byte delivered by the
// mount shows as a wrong answer, or as a guest that crashes.
//
// Two snapshots are taken in one guest's life: the second after it has taken in
// more data, for tests of snapshots that share most of their pages.
//
// # Restoring
//
// [Resume] starts the same qemu-system-x86_64 with the memory file mapped
// privately (share=off): QEMU never writes to it, and any number of clones may
// run from one file. The memory file may lie anywhere, in particular on a FUSE
// mount: QEMU opens it for reading and writing even so, and maps it.
//
// # Rules
//
// A [VM] owns its process and a directory for its sockets under os.TempDir;
// [VM.Close] ends and removes both, and so does the end of the context. A VM is
// used by one goroutine at a time, different VMs are independent. [Build] may be
// called by several processes at once: a file lock makes all but one wait.
//
// The package never maps or reads a memory file's contents itself when it
// resumes, so it may be used in the process that serves the file.
package guest

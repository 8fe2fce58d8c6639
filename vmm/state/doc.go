// Package state encodes and reads the state file of a snapshot, snapshot_file:
// everything of a virtual machine but its memory.
//
// # Concepts
//
// A state file is a list of sections. A [Section] has a kind, an index among those
// of its kind, a name if it is a device's, and bytes, which belong to whoever
// wrote them: this package does not know what is in a vCPU. docs/FORMAT-VMSTATE.md
// has the byte tables; testdata/golden.txt is their executable twin.
//
// # Invariants
//
// Every byte of a file is under a checksum (CRC-32C): a file that was cut or
// changed anywhere is ErrDamaged, with the file and the offset of the part that
// is wrong. Version and architecture are looked at before the checksums, so that a
// file of another version is reported as that.
//
// Encoding is canonical: equal sections make equal bytes, and what decodes
// encodes to the bytes it came from.
//
// # Concurrency
//
// All functions may be called from any number of goroutines. Writing the file, whole
// and durable, is for the machine, which writes it together with the memory.
//
// # What it refuses
//
// Files of more than [MaxFileBytes]; sections beyond the limits; two sections
// of the same kind and index; what is not a regular file. Kinds that it does not
// know it keeps: their owner decides.
package state

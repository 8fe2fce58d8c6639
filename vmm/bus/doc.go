// Package bus finds the device that answers an address.
//
// # Concepts
//
// A PC has two address spaces in which devices answer: I/O ports (16 bits) and
// physical memory where there is no RAM (MMIO). A machine has one [Bus] for
// each. A [Device] sits on a bus at a base and answers a window of addresses; it
// is told the offset from its base and nothing else, so it does not know on
// which bus it is, nor where.
//
// A device that has state between two accesses is also a [Saver]: its state is
// one opaque run of bytes, which begins with a version of its own.
//
// # Invariants
//
// Windows never overlap. An access is answered by one device or by none: one
// that crosses the end of a window is answered by nobody.
//
// # Concurrency
//
// Add belongs to the time before the first access. Read and Write may be called
// by any number of threads at once, and call devices without a lock: devices
// lock themselves.
//
// # What it refuses
//
// It does not say what a read yields where nobody is (all ones, on a PC), and it
// logs nothing: that is the machine's affair.
package bus

// Package rtc is a PC's clock: the MC146818 with its CMOS memory.
//
// # Concepts
//
// Two ports: an index, and the register it chooses. The first ten registers and the
// century are the time, in UTC, as the clock function says at that moment; the guest
// cannot set it, for the host's clock is the better one. Four registers are about the
// chip. The rest is memory that the guest may keep bytes in.
//
// The chip says that it never updates: each register is the right one whenever it is
// read, so nobody need wait. A reader who wants several that belong together reads
// the seconds before and after, as Linux does.
//
// # Concurrency
//
// Everything may be called by any thread; a mutex guards the state.
//
// # What it refuses
//
// Alarms and periodic interrupts: their enable bits stay zero.
package rtc

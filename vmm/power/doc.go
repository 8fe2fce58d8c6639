// Package power is the register by which a guest with ACPI turns its machine off.
//
// # Concepts
//
// A machine with reduced hardware has two registers of a byte for sleeping: sleep
// control, at offset 0, and sleep status. The guest writes the type of sleep it
// wants, as the DSDT's object _S5_ gives it for soft off, together with a bit that
// says: now. Package boot writes tables that say so; this is the other end.
//
// There is no other sleep, and no state.
//
// # Concurrency
//
// Everything may be called by any thread; off is called by the one that writes.
package power

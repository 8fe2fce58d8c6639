// Package serial is a 16550A, the UART of a PC's COM port.
//
// # Concepts
//
// Eight registers, some of them two or three in one place: which one answers
// depends on the direction and on a bit of another register (DLAB). What a guest
// sends goes to a writer at once, so the transmitter is always empty. What a user
// types waits in a queue of [QueueBytes] until the guest has taken what is in the
// chip's FIFO of 16 bytes; then the next 16 move up. The queue is part of the saved
// state: keys typed before a snapshot are there after it.
//
// The interrupt line is a function of the registers (interruptID); whenever it
// rises, the guest gets one edge. It is not gated by OUT2, as it is on a PC's
// board: small guests forget about that, and nothing else is on the line.
//
// All that drivers probe is there: loopback with its modem lines, the scratch
// register, FIFO bits that come and go, and no bit of a later chip. Line speed and
// format are remembered and mean nothing.
//
// # Invariants
//
// Not more than 16 bytes in the FIFO (1 when it is off), not more than QueueBytes
// in the queue; bytes leave in the order in which they came. Nothing a guest writes
// makes the port lose input, but what it throws away by itself: a FIFO that it
// clears.
//
// # Concurrency
//
// Everything may be called by any thread. A mutex guards the state and is held
// while interrupt is called, which must not call back. It is not held while output
// is written: a writer that blocks holds up the CPU that sends, and nobody else.
package serial

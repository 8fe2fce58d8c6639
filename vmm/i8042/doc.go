// Package i8042 is a PC's keyboard controller, with a keyboard on which nobody
// types but Ctrl-Alt-Del.
//
// # Concepts
//
// Two ports: data (0x60), and status or commands (0x64), at offsets 0 and 4 of the
// device's window. A byte from the keyboard or an answer of the controller lies in
// the output buffer until the guest reads it; then the next one follows, each with
// an edge of IRQ 1 if the guest has enabled that. Bytes of the keyboard are scancodes
// of set 1 while the controller translates, of set 2 otherwise.
//
// A machine has the controller for two things: a guest reboots by having it pulse
// the CPU's reset line (command 0xfe), and the user asks a guest to end with
// [Controller.PressCtrlAltDel]. Before a guest has said anything, scancodes are
// translated and interrupts enabled, as firmware leaves it: a small guest need only
// read port 0x60 at IRQ 1.
//
// The port for a mouse is there and nobody is connected to it. Between the two
// ports lies 0x61, which belongs to the timer: where the kernel's PIT does not
// answer it, it says that the timer has expired, so that nobody waits for that.
//
// # Invariants
//
// Both queues are bounded: a byte that finds its queue full is dropped, as a
// keyboard drops keys.
//
// # Concurrency
//
// Everything may be called by any thread. A mutex guards the state and is held
// while interrupt is called, which must not call back. reset is called without it.
package i8042

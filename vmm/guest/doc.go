// Package guest is a tiny guest for tests, demonstrations and benchmarks: a
// 64-bit program of 8 KB that needs no kernel and no disk, boots in a fraction of
// a second (in a second or two where KVM has no hardware and interprets), and
// answers questions on its serial port.
//
// # What it does
//
// At boot it builds a hash table over as many megabytes as the word mib=N of
// the command line says (32 if it says nothing), prints [ReadyLine], and waits
// for commands, asleep. A lookup touches one page of the table and eight others
// (code, stack, variables, interrupt table, page tables), of which five are
// written; so the working set of a few requests is small compared to the memory,
// as it is with real services, and what clones write is small, too.
//
// All it knows follows from a mixing function: [Value], [Sum] and [Stamp]
// compute in Go what a guest must answer. A wrong byte in a restored memory
// thus is a wrong answer; the command verify looks at every byte that was
// written.
//
// # Its table
//
// The table begins at 2 MiB. A page of it is a bucket of the hash table:
//
//	offset  bytes
//	0       8     order in which the page was built
//	8       8     stamp: 0, or left by the command write
//	16      64    four keys and their values
//	80      1024  words that do not compress
//	1104    1792  prose, which compresses well
//	2896    1200  never touched
//
// Key k lives in page k*2654435761 modulo the number of pages. So its memory
// compresses by about 3, like that of programs, and no two pages are equal.
//
// # Commands
//
// A line each, ended by CR, LF or both; answered by one line. Numbers may be
// decimal or, with 0x, hexadecimal.
//
//	get KEY      KEY=VALUE; keys are 0 to EntryCount-1
//	sum          sum=S, of all values and stamps; reads all pages of the table
//	verify       verified=PAGES damaged=PAGES; compares every byte of them
//	stat         lookups=N written=N ticks=N
//	write N      written=TOTAL; stamps N more pages, all different
//	tick on|off  ok; 100 timer interrupts in a second, or none (none at boot)
//	echo on|off  ok; sends back what is typed (also a word of the command line)
//	smp          processors=N; starts the other processors and counts them
//	quit         bye; then a reset by the keyboard controller
//	crash        crashing; then a triple fault, which nobody survives
//	fault        makes a page fault, which is reported; then the reset
//	poke         poking; then a write to where there is no memory and no device;
//	             survived, if that has no consequence
//	peek         peek=VALUE; a read there
//	spin         spinning; then a loop with interrupts off, forever
//	help         the list of commands
//
// An error is a line that begins with "error: ". An exception is reported by a
// line and ends the guest as quit does; so do Ctrl-Alt-Del on its keyboard and
// a table that does not fit into the memory.
//
// # What it needs
//
// What a Linux kernel needs that is entered by the 64-bit boot protocol, at 1
// MiB and with RSI pointing to the zero page (command line, e820 table), the
// first 4 GiB mapped to themselves, selectors 0x10 and 0x18; and the devices of
// a PC: serial port COM1 with interrupt 4, keyboard controller with interrupt
// 1, two 8259, local APIC, and a PIT for tick and smp. It keeps to plain
// instructions: KVM interprets guests on hosts without hardware virtualization,
// and even the return from an interrupt, IRETQ, is missing there.
//
// # The program
//
// Its source is in asm, for Go's assembler, with a comment for whoever wants to
// learn what such a program does: begin with boot.s. `go generate` makes
// guest.bin of it; package assemble says how.
//
// # Concurrency
//
// A [Client] is for one goroutine at a time. Everything else may be called from
// anywhere.
package guest

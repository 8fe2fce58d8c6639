// Package linuxguest says what the laboratory's Linux guest holds in memory and
// how one talks to it, for its init (cmd/guestinit) and for the tests that
// compute the answers.
//
// # Memory
//
// At boot the guest fills [Words] words for every MiB that its command line asks
// for (lab.mib=N): the word at index i is [Word] of i. So its sum is known outside
// ([Sum]), and a page that was lost on the way through a snapshot changes it.
//
// # Conversation
//
// Once all is there the guest prints [Ready] with the count of its processors,
// and takes one line for a request; every reply is one line.
//
//	count         -> count N           one more than in the last reply
//	sum           -> sum N             the sum of all words, in decimal
//	change N      -> changed N         adds 1 to one word of each of the N first pages
//	processors    -> processors 0 1    those on which a thread pinned there answered
//	uptime        -> uptime N          nanoseconds of the monotonic clock
//	disk          -> disk N            bytes of the disk, or: disk none
//	read N        -> read N: TEXT      the text (up to the first zero) in sector N
//	write N TEXT  -> wrote N           puts the text into sector N, past all caches
//	off           -> off               ends the machine by a restart
//
// A request that fails is answered by [Failure] and the reason. In between comes a
// [Tick] every second, which shows that timers go on; the tick's number is counted
// by the timer's thread.
package linuxguest

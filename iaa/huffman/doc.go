// Package huffman builds the prefix codes of DEFLATE (RFC 1951, 3.2) and writes
// their descriptions, in the form that the accelerator reads.
//
// # Concepts
//
// A prefix code is known by the lengths of its codes alone: [Codes] derives the
// codes from them (RFC 1951, 3.2.2). [Lengths] holds the lengths of the two
// alphabets of a block, literals with match lengths, and distances. [Builder]
// finds the lengths that make a message shortest.
//
// A [Header] is the description of [Lengths] that begins a dynamic block (RFC
// 1951, 3.2.7): the lengths, run-length coded, in a third prefix code whose own
// lengths come first. The RFC lets a run of equal lengths cross from the first
// alphabet into the second; the accelerator refuses that, so the two lists are
// coded apart here.
//
// A stream without a header, whose codes its reader knows, becomes one of RFC
// 1951 when the bytes of [Prefix] are put before it.
//
// # Invariants
//
// Every code that is built here is complete and has at least two symbols: some
// decoders, the accelerator possibly among them, refuse others. The same input
// gives the same code, always.
//
// Nothing here allocates but [Prefix].
//
// # Concurrency
//
// A [Builder], a [Header] and a [BitWriter] belong to one goroutine at a time.
//
// # What it refuses
//
// [Lengths.Check] refuses what no decoder could use. A [BitWriter] never writes
// beyond its buffer; it reports that it would have.
package huffman

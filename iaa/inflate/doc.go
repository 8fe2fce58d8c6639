// Package inflate decodes DEFLATE streams (RFC 1951) whose length is known, in
// one call each.
//
// # Concepts
//
// A frame's raw length is known, and so is the length of its stream. So there is
// no window to keep, no state to resume from and no reader to ask: a stream is
// decoded from one buffer into another, and matches copy within the output.
//
// A [Table] holds what decoding looks up: an entry for every pattern of the
// next 11 bits of the input, or of 8 bits for a distance. A stream brings the
// code lengths that a table is built from, or many streams share one table and
// have no header; building one costs as much as decoding two or three kilobytes.
//
// # Invariants
//
// The inner loop uses raw pointers. It is safe for any input because
//
//   - input is read only within [SlackBytes] behind its end: the loop ends when
//     it is 8 bytes past the end, and one round reads at most 40 bytes further;
//   - output is written only within SlackBytes behind its end: a round starts at
//     most at the end, writes at most 3 literals, and a match only if all of it
//     fits; copies run over the end of a match by at most 39 bytes;
//   - a match reads at most its distance back, which is compared with what was
//     written;
//   - indices into tables are masked to the table's width, and the builder puts
//     only subtables into it that lie inside.
//
// Where a caller's buffer has no such slack, a buffer of the decoder's own takes
// its place.
//
// What becomes of a stream depends on nothing but its bytes and the length of its
// destination. A failed one is decoded once more, in the slowest and simplest way,
// for that: how far it gets would otherwise depend on what lies in the slack.
//
// # Concurrency
//
// A [Decoder] is used by one goroutine at a time. A Table may be read by any
// number.
//
// # What it refuses
//
// Streams that are invalid, truncated, longer or shorter than the destination,
// or that have bytes behind their end; codes that are over-subscribed or
// incomplete (but for a single code of one bit, RFC 1951, 3.2.7).
package inflate

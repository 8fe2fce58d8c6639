// Package deflate compresses frames of guest memory, 4 KiB to 256 KiB, into
// streams that Intel's In-Memory Analytics Accelerator can read: DEFLATE (RFC
// 1951) without a wrapper, each frame a stream of its own.
//
// # Concepts
//
// A frame is parsed into tokens, literals and matches; the tokens are cut into
// blocks; each block is written with the shortest of the three codes that RFC
// 1951 has. Levels differ in the parser. Those up to 5 go through the frame
// once and take what looks best: the first match (1), the longest of a few (2),
// or the longest unless the next byte begins a better one (3 to 5). From 6 on
// the parser first collects the matches of all bytes. Then it finds the
// cheapest way through the frame with the costs of real codes, and repeats that
// with the codes that this way leads to. 8 and 9 cut a frame into several
// blocks where its statistics change.
//
// A stream can do without a header: with [Shared] codes that many frames have in common, and
// that the reader has. [Train] finds such codes from samples, [Encoder.EncodeBest]
// picks the best one for a frame, or a header of its own.
//
// # Invariants
//
// A stream ends with the last byte, in a block marked as the last one; no block
// is empty, except for an empty input. No match has a distance of more than
// 4096 bytes. The two lists of code lengths of a header are coded apart, each of
// the two codes is complete and has at least two symbols, and no code is longer
// than 11 bits. (The accelerator demands the distances and the lists; 11 bits is
// the root of usual decoding tables.) Codes of [Train] may have up to 15 bits.
//
// The same input, level and codes give the same stream, on every machine,
// whatever an encoder did before. The input may even change while it is
// compressed: then the stream is that of some mixture of both.
//
// # Costs
//
// Measured on pages of a running Linux guest, frames of 16 KiB, limiting codes
// to 11 bits costs nothing, since headers get shorter: 2.716 against 2.714 times
// smaller with 15 bits. In frames of 4 KiB the best limit is 9 bits, which saves
// 0.4 %. Blocks of their own where statistics change save 1.5 % without regard
// to a decoder, which needs a microsecond or two for every header. So a block
// must save at least 12 bytes at level 9, and 25 at level 8: then a frame of
// 16 KiB has 2.7 or 1.7 blocks instead of 4.1, and 1.3 % or 0.7 % are saved.
//
// # Concurrency
//
// An [Encoder] belongs to one goroutine at a time; it has up to 2 MiB of memory
// of its own. [Shared] codes never change.
//
// # What it refuses
//
// It never writes more than the destination holds: a stream that does not fit
// is not begun, and the caller is told.
package deflate

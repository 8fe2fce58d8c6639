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
// the root of usual decoding tables.) Codes of [Train] have up to 13 bits.
//
// The same input, level and codes give the same stream, on every machine,
// whatever an encoder did before. The input may even change while it is
// compressed: it is copied first, and the stream is that of the copy.
//
// # Costs
//
// What follows was measured on pages of a running Linux guest.
//
// To limit codes to 11 bits costs nothing, since headers get shorter. Frames of
// 16 KiB are best with about 10 bits, frames of 4 KiB with 9: there that saves
// 0.4 % against 15 bits.
//
// Several blocks in a frame of 16 KiB save 1.6 %, but each header takes a decoder
// time. So a block must save at least 8 bytes at level 9, and 20 at level 8: then
// a frame has 3 or 2 blocks instead of 4, 1.4 % or 0.8 % are saved, and decoding
// is 7 % or 4 % slower than that of one block.
//
// # Concurrency
//
// An [Encoder] belongs to one goroutine at a time. It keeps its memory: for
// frames of 16 KiB, a third of a MiB up to level 5 and 1.5 MiB from level 6 on;
// up to 4 MiB for larger ones. [Shared] codes never change.
//
// # What it refuses
//
// It never writes more than the destination holds; where a stream does not fit,
// the caller is told, and nothing in the destination is of use.
package deflate

// Package densezstd encodes zstd frames (RFC 8878) of at most 256 KiB, denser
// than the encoder of github.com/klauspost/compress does. Decoding is left to
// that package, which reads any conforming frame.
//
// # Why
//
// A frame of an image is a few dozen pages of guest memory, decoded as a whole
// when a guest touches one of them. So small a frame leaves little to find, and
// what counts is to spend the found well. Three things that general encoders do
// not do, or not in Go, pay here:
//
//   - Guest memory is full of pointers and counters: matches are short, many of
//     three bytes only, and most of them continue at the distance of an earlier
//     one. So parsing is led by price, in which a recent offset costs next to
//     nothing.
//   - Neighboring pages have nothing to do with each other. So blocks end where
//     the statistics change, and a page of noise becomes a raw block of its own
//     instead of spoiling the tables of others.
//   - Frames start from nothing. What sequences usually look like in guest
//     memory is known, however, and lets even the first look at a frame choose
//     well (usualCodes).
//
// # Vocabulary
//
// A match repeats bytes from offset bytes before; what no match covers are
// literals. A sequence is a run of literals and the match after it. A frame is
// cut into blocks of at most 128 KiB. In each, the literals are compressed by a
// Huffman code; literal lengths, match lengths and offsets become codes with
// extra bits, and the codes are compressed by three FSE tables. Blocks may
// repeat the tables of the block before. The three latest offsets have codes
// of their own, which is what makes continuing cheap.
//
// # How a frame is made
//
// A match finder knows where the bytes at a position occurred before: along
// chains (matchfinder_chain.go), or in binary trees, which find the nearest
// match of every length (matchfinder_tree.go). A parser chooses among the
// matches:
//
//   - LevelDefault takes the best match, unless the next position has a better
//     one (parse_lazy.go).
//   - LevelBetter follows all matches at once and finds the cheapest way
//     through the frame at usual prices (parse_optimal.go, prices.go); it
//     leaves out positions that seldom pay.
//   - LevelBest leaves out next to nothing, searches better, and then goes
//     through the frame once more, at the prices of the tables that the first
//     way would get, block by block.
//
// The splitter decides where blocks end (block_split.go), and the block coder
// writes them (block.go, literals.go, fse_choice.go, fse_table.go).
//
// # What is bounded
//
// Everything: an encoder holds tables in proportion to the largest frame it was
// made for and grows none of them beyond what the worst frame needs, so that
// after some frames it allocates nothing any more. Work per position is bounded
// by the attempts of the match finder and by niceLen. A frame is at most some
// bytes per page longer than its source.
//
// # What it promises
//
// An Encoder is used by one goroutine at a time; different ones share nothing
// that changes. The same bytes give the same frame, whatever was encoded before
// and on every machine: costs are integers. There is no window beyond the
// frame, no dictionary and no checksum. Callers that cannot lose bytes decode
// the frame and compare, as with any encoder.
package densezstd

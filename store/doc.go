// Package store reads and writes packed memory snapshots: the image format, the
// codecs of its frames, and the commands that pack, unpack and verify.
//
// # Concepts
//
// A memory file is the raw RAM of a guest, as a VMM writes and maps it. An image
// (*.sabre) holds one memory file. It is made of
//
//   - pages: 4096 bytes of guest memory each, the unit of the page map;
//   - frames: 1 to 64 pages that are compressed together, the unit of decoding,
//     each with the CRC-32 of its raw bytes;
//   - the page map: where each page is: nowhere (a page of zeros), or in a slot of
//     a frame, of the image or of an ancestor. Equal pages share a slot;
//   - the frame table: where each frame is in the file, and its codec.
//
// Two address spaces never mix: rawOff is an offset in the memory file, packedOff
// one in the image. docs/FORMAT.md has the byte tables; the golden image in
// testdata is their executable twin.
//
// An image may have a working set: the pages that a guest touches after it
// resumed, in the order of the first touch. Their frames then come first in the
// file, with a codec and a size of their own, so that one sequential read brings
// them; layout.go says in which order. PackFile lays an image out so if it is given
// a working set, RepackFile does it to an image that exists.
//
// An image may have a parent, and then stores only the pages that the parent does not
// have, which may have a parent too: a chain of layers, from the root to the image.
// Frames are numbered over the whole chain, the root's first, so that the page map of
// a child says where each page is without asking its ancestors. A child belongs to the
// content of its parent and not to a file: if the parent is laid out anew, the child is
// stale, which is slower to read, until RebaseFile. chain.go has how a chain is opened,
// parents.go how parents are found, parents_open.go how they are shared, inheritance.go
// how packing finds what need not be stored, diffsource.go how it reads diffs as VMMs
// write them.
//
// A store is a directory of snapshots, in which memory files are images and all
// other files are as they were.
//
// [Remove] takes images out of a store and refuses what others need, for which
// [ReadFamily] reads who is whose parent.
//
// # Invariants
//
// Bytes that this package returns are the bytes that were packed: every frame
// is compared with its checksum each time it is decoded, every part of a table
// when it is first used. Otherwise an error of one of the classes in errors.go
// is returned, and the buffer is not to be used.
//
// An image appears under its name whole and durable, or not at all. It is never
// modified afterwards, only replaced.
//
// The page map and the frame table are mapped and used in place: opening reads
// a header, a trailer and a few bytes for each 16 MiB of guest memory, of each layer.
//
// A parent that is missing, or has other content than the one that a child was packed
// against, is an error when the child is opened.
//
// # Concurrency
//
// An [Image] and a [FrameCache] may be used from any number of goroutines;
// closing them may not overlap with use. Packing runs on all cores by itself.
//
// # What it refuses
//
// Images of a newer version or with an incompatible feature that it does not
// know; a chain that is too deep or comes back to itself; anything truncated; anything whose checksum or cross-reference is wrong;
// inputs that change while they are packed. Nothing that an image claims makes
// it allocate more than the file's own size justifies.
package store

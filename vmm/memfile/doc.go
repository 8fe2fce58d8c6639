// Package memfile writes the memory of a guest to files, and merges them.
//
// # Concepts
//
// A memory file is the raw memory of a guest: as long as the memory, page n of
// it at offset n * 4096. Pages of zeros are holes, so a file takes as much of
// the disk as the guest had use for.
//
// A diff is a memory file that has only the pages which were written since some
// earlier memory file, its base. All other pages are holes. There are two kinds:
//
//   - a diff since boot lacks nothing: what was never written is zero, as is a
//     hole. It is restored like a full memory file.
//   - a later diff lacks the pages that its base has. It means nothing until it
//     was merged ([Merge]): of each page the diff's bytes where the diff has
//     data, else the base's. A written page that is now zero must therefore be
//     data, not a hole.
//
// # Witnesses
//
// Nothing in a diff's bytes tells that it was not merged, and a guest that runs
// on one would compute with zeros. A filesystem or a copy can also lose which
// pages are holes. Therefore whoever writes a later diff keeps [Witness] values
// apart from it: a few pages with their checksums, some that the diff lacks and
// some that it has as zeros. A diff that was not merged does not satisfy them
// ([CheckWitnesses]). Another base is noticed if it differs in one of these pages:
// witnesses are no checksum of the whole, which would take reading it.
//
// # Invariants
//
// A file appears under its name whole and durable, or not at all; [Staged] files
// have no name that anybody looks for until Commit. Buffers are bounded by
// constants, whatever the size of the memory. Everything stops when its context
// is done.
//
// # What it refuses
//
// Diffs on a filesystem that does not keep holes apart from data, since Merge
// could not tell them apart either; files of different sizes.
package memfile

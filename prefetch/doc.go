// Package prefetch knows which pages a guest needs before it asks for them.
//
// # Concepts
//
// A guest that is resumed from a snapshot touches a small part of its memory,
// mostly the same part each time: its working set. A recording is one such run
// in which every page that was touched is known, with the moment of its first
// touch. A [Trace] is what is left of one recording, or of several that were
// merged: the pages in the order of their first touch, each once, with the time
// and with the number of runs in which it was seen. Trace files (*.ws) hold it;
// docs/WORKING-SETS.md has the byte table, and testdata/golden.txt is its
// executable twin.
//
// A trace names pages by number, so it says something about one memory only. It
// carries the digest of that memory's content, and [Trace.Check] refuses any
// other. The UUID of the image that was recorded is carried too, but does not
// decide: an image that is packed again or laid out anew has another UUID and
// the same content, and keeps its traces.
//
// [Merge] makes one trace of several recordings, by union, intersection or
// "seen in at least k runs". [Compare] says how alike two are.
//
// # Invariants
//
// A trace that was decoded is sound: every page lies within the memory and
// occurs once, times do not decrease, no page was seen in more runs than there
// were. Nothing that uses a trace needs to check that again; only whether it
// is about the image at hand.
//
// A trace file is whole or absent: [Trace.WriteFile] replaces what was there at
// once, or leaves it.
//
// # Concurrency
//
// A trace is a plain value: many may read it, nobody may change it meanwhile.
//
// # What it refuses
//
// Files that are no trace, truncated, damaged or of a newer version (ErrTrace);
// traces of other content (ErrOtherImage). A file makes [ReadFile] allocate no
// more than a few times its real size, whatever it claims.
package prefetch

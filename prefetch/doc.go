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
// A [Run] pushes the pages of a working set into the page cache ahead of the guest.
// A plan is made first: the pages by frame, so that each frame is decoded once; in
// windows of a few megabytes that keep first-touch order among themselves, and
// address order within, so that one call pushes a run of neighbors; and in batches
// of frames that are read with one access to the disk. Workers then take batches in
// turn: read, decode, push. Frames go through the store's [store.FrameCache]: demand
// uses what is decoded ahead, and the other way round.
//
// The working set of an image that has a parent lies in several files: what the
// child changed in its own, all else in those of its ancestors. Frames are numbered
// over the whole chain, so a plan is made as for one image, and a batch may have
// frames of several layers: what belongs together in the guest is pushed together,
// and of each file the part that lies together is read with one access.
//
// A [Gate] lets demand go first, a [Budget] bounds what is pushed, a [Tracker] knows
// afterwards what it was good for.
//
// # Invariants
//
// What is pushed are the bytes that demand would have got: a frame that does not
// decode is left out, and who asks for it is told why.
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
// A trace is a plain value: many may read it, nobody may change it meanwhile. A run
// is started once, by [Run.Do], and may be asked for its counts from anywhere. A
// worker never waits at the gate, for the disk or for another's frame while others
// wait for frames of its own.
//
// # What it refuses
//
// Files that are no trace, truncated, damaged or of a newer version (ErrTrace);
// traces of other content (ErrOtherImage). A file makes [ReadFile] allocate no
// more than a few times its real size, whatever it claims.
package prefetch

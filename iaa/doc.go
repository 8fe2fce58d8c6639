// Package iaa decodes and encodes batches of DEFLATE streams (RFC 1951, raw:
// no zlib or gzip wrapper) whose sizes are known: on Intel's In-Memory Analytics
// Accelerator where there is one, in software elsewhere.
//
// # Concepts
//
// A [Job] is one stream and one buffer. A job that decodes has a destination
// of exactly the expected length: a stream that yields less or more is an
// error, never a short or a reallocated buffer. An [Engine] runs a batch of
// jobs; each job carries its own result, so one bad stream does not spoil the
// batch. Engine.Start and [Batch].Wait run a batch while its owner does something
// else.
//
// The accelerator reads only streams whose matches reach back at most
// [WindowBytes], and whose two lists of code lengths are coded apart: every engine
// here writes such streams and reads any.
//
// A [Table] is a pair of Huffman codes that many streams share, which then have no
// header: decoding a page need not build tables first. Table.Prefix makes such a
// stream one that any decoder reads.
//
// There are three engines:
//
//   - [Software] decodes with package inflate, two streams side by side, and
//     encodes with package deflate;
//   - the device, by [OpenDevice]. [Discover] looks for work queues in sysfs and
//     says why each can be used or not. A queue's portal (package portal) takes
//     descriptors of 64 bytes (descriptor.go); the device answers in a completion
//     record (completion.go) in memory. Jobs are copied into slots of locked memory
//     outside the Go heap (arena.go), because a job that is late may still be
//     written to by the device: its slot is abandoned, its caller's memory never
//     was at risk;
//   - a model of the device (package model), behind the same boundary.
//
// [Default] is the engine of the process; the environment variable SABREFS_IAA
// chooses it. docs/IAA.md is about setting up a host.
//
// # Invariants
//
// What the device does not do, for whatever reason, software does: results and
// errors are the same, but for bytes behind the end of a stream, which a device
// cannot tell of. Reasons are counted ([Stats]). Every wait for the device has a
// deadline; a queue that misses one is not used again.
//
// Running jobs allocates nothing once an engine is warm.
//
// # Concurrency
//
// An engine may be used from any number of goroutines at once. A job belongs
// to the engine from the call, or from Start, until it returns, or Wait does. A
// Batch belongs to one goroutine.
//
// # What it refuses
//
// It knows no file and no frame: checksums of raw bytes are returned for the
// caller to compare. Streams are untrusted input; they never make an engine
// write outside a job's destination and its slack. Attributes in sysfs are bounded
// and may be missing: what is missing is unknown, never zero.
package iaa

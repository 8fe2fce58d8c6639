// Package iaa decodes and encodes batches of DEFLATE streams (RFC 1951, raw:
// no zlib or gzip wrapper) whose sizes are known, as Intel's In-Memory
// Analytics Accelerator does.
//
// # Concepts
//
// A [Job] is one stream and one buffer. A job that decodes has a destination
// of exactly the expected length: a stream that yields less or more is an
// error, never a short or a reallocated buffer. An [Engine] runs a batch of
// jobs; each job carries its own result, so one bad stream does not spoil the
// batch.
//
// The accelerator reads only streams whose matches reach back at most
// [WindowBytes]: every engine here writes such streams and reads any.
//
// # Concurrency
//
// An engine may be used from any number of goroutines at once. A job belongs
// to the engine from the call until it returns.
//
// # What it refuses
//
// It knows no file and no frame: checksums of raw bytes are returned for the
// caller to compare. Streams are untrusted input; they never make an engine
// write outside a job's destination.
package iaa

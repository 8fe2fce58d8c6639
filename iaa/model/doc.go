// Package model is Intel's In-Memory Analytics Accelerator in software: devices
// behind the boundary that package portal draws, for tests of the driver and for
// developers who have no such device. It decodes and encodes for real.
//
// # Concepts
//
// A [Host] is a machine: devices, their queues, and what /sys says about them. A
// [Config] describes it, down to attributes that a kernel does not have or that
// say something odd. A driver opens a queue, maps its portal and submits
// descriptors of 64 bytes; engines, which are goroutines, take them from the
// queue, check every field, read and write the memory of this process at the
// addresses that they find, and store a completion record, its status last.
//
// A [Fault] is something that goes wrong with some jobs: pages that are not
// there, statuses, jobs that hang or come late, wrong checksums, wrong bytes, a
// device that goes away. [Host.Counters] tells what happened, also what no
// driver can see: descriptors that were dropped, errors that no record told of.
//
// [Decode] is the device's decoder without a device. What it accepts, a device
// can read.
//
// The model and the driver share no code but package portal. Each has its own
// reading of descriptor, record, state and codes, so that a mistake in one shows
// in the other. Do not make them share.
//
// # What is modeled
//
//   - Portals: a shared queue refuses what exceeds its threshold, a dedicated
//     one loses it. write(2) takes descriptors until one is refused. A slot is
//     taken until its job completes; real queues give it back when an engine
//     takes the job, so the model fills up earlier.
//   - Checks of descriptors, stricter than a device's may be: see validate.go.
//   - NOOP, DECOMPRESS, COMPRESS and CRC64, with the states ("AECS") by which
//     streams go on from job to job; for devices of the second generation also
//     the headers of blocks that these make by themselves.
//   - Memory: an address that is not mapped is a page fault of the job. Closing
//     a queue waits for its jobs, as the kernel does.
//   - Order: engines take any of the oldest jobs, as a seed decides, so that
//     completions overtake each other.
//
// # What is not
//
// Filters, memory copies, encryption, dictionaries, indexing and big-endian bit
// order are refused, and op_cap does not claim them. There are no interrupts and
// no event log. Priorities and traffic classes do nothing. Speed is that of the
// machine it runs on: nothing measured here says anything about a device.
//
// # What is not known of the hardware
//
// The public sources are Linux and Intel's libraries; where they say nothing,
// the model had to choose, and a driver must not rely on these choices:
//
//   - the order of checks, and which of several errors is reported;
//   - that a repetition of code lengths may not cross from the
//     literal/length list into the distance list (follows from the device's
//     error codes, and from what other software refuses to write);
//   - which error symbols 286 and 287, distance symbols 30 and 31, and single or
//     incomplete codes give. The model takes incomplete codes and refuses the
//     pattern that has no meaning, where it occurs;
//   - how much input a success reports as consumed (the model: all of it), and
//     what follows a final block if the job does not stop there;
//   - how far a destination is filled on overflow. The model fills it to the
//     last byte if the stream cannot go on, and to the last whole symbol if it
//     can;
//   - how much of an AECS is written, and in which form it has the codes of a
//     block. An AECS of the model can only be read by the model;
//   - whether the end-of-block symbol is counted in a histogram (the model: if
//     the job appends one);
//   - which tokens a compressor finds, and what codes a device makes by itself.
//
// # Concurrency
//
// All methods may be called from any number of goroutines at once. Goroutines
// start with the first job of a group, sleep when there is none, and have ended
// when [Host.Close] returns.
//
// # What it refuses
//
// It does not protect the process from its own descriptors: a model writes
// wherever it is told to, as a device does. Descriptors, records, states and
// buffers have to be outside the Go heap.
package model

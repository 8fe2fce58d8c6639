package iaa

import (
	"context"
	"errors"

	"sabrefs/iaa/inflate"
)

const (
	// WindowBytes is the largest match distance that the accelerator decodes.
	// Source: Intel IAA Architecture Specification, "Decompress".
	WindowBytes = 4096

	// SlackBytes is how much room beyond both ends of a job's buffers makes
	// decoding fastest: readable capacity behind Src, writable behind Dst.
	SlackBytes = inflate.SlackBytes
)

var (
	// ErrStream is returned in a job whose stream is not valid DEFLATE.
	ErrStream = inflate.ErrStream
	// ErrLength is returned in a job whose stream yields more or fewer bytes
	// than the destination has.
	ErrLength = inflate.ErrLength
	// ErrNoGain is returned in a compression job whose output would not fit
	// the destination it was given.
	ErrNoGain = errors.New("compressed data does not fit the destination")
)

// Op is what a batch of jobs asks for.
type Op uint8

// The operations.
const (
	OpDecompress Op = iota + 1
	OpCompress
)

// Compression levels, from the fastest to the densest. 0 means DefaultLevel.
const (
	MinLevel     = 1
	DefaultLevel = 5
	MaxLevel     = 9
)

// Job is one stream to decode or one buffer to encode.
type Job struct {
	// Src is the input: for decoding, one complete stream. What lies between
	// its length and its capacity may be read.
	Src []byte
	// Dst receives the output. Decoding fills it exactly, and may overwrite
	// what lies between its length and its capacity; encoding fills at most
	// its length.
	Dst []byte
	// Table holds the codes of a stream without a header of its own; nil for
	// a stream of RFC 1951. For decoding it is given; encoding sets it to the
	// one of Tables that it used.
	Table *Table
	// Tables are codes that encoding may use if the stream is not much longer
	// for it: decoding is faster when no table must be built.
	Tables []*Table
	// Level is the effort of encoding, MinLevel to MaxLevel.
	Level int

	// N is the number of bytes written to Dst.
	N int
	// CRC32 is the checksum of the raw bytes (gzip polynomial), which the
	// accelerator computes on the way. It says nothing if Err is set.
	CRC32 uint32
	// Err is nil, or says why this job failed.
	Err error
}

// Engine runs batches of jobs. All methods may be called from any number of
// goroutines at once, Close after all others.
type Engine interface {
	// Name identifies the engine in reports: "software", "device" or "model".
	Name() string
	// Decompress decodes every job and fills in its results. The error is of
	// the batch as a whole (the context ended); jobs not run carry it too.
	Decompress(ctx context.Context, jobs []Job) error
	// Compress encodes every job into one DEFLATE stream each, with matches
	// of at most WindowBytes. The error is as that of Decompress.
	Compress(ctx context.Context, jobs []Job) error
	// Start sets a batch going and returns without waiting for it.
	Start(ctx context.Context, op Op, batch *Batch)
	// Stats returns what was counted so far.
	Stats() Stats
	// Close waits for what is in flight and gives resources back.
	Close() error
}

// Batch is a set of jobs that run while their owner does something else. The
// zero value with Jobs set is ready to be started; after Wait it may be used
// again, which then allocates nothing.
type Batch struct {
	Jobs []Job

	state batchState
}

// Wait returns when every job has its result; the error is as that of
// Engine.Decompress. It must be called once after each Start.
func (b *Batch) Wait() error { return b.state.wait(b) }

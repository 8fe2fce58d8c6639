package iaa

import (
	"context"
	"errors"
)

// WindowBytes is the largest match distance that the accelerator decodes.
// Source: Intel IAA Architecture Specification, "Decompress".
const WindowBytes = 4096

var (
	// ErrStream is returned in a job whose stream is not valid DEFLATE.
	ErrStream = errors.New("invalid DEFLATE stream")
	// ErrLength is returned in a job whose stream yields more or fewer bytes
	// than the destination has.
	ErrLength = errors.New("DEFLATE stream has another length than expected")
	// ErrNoGain is returned in a compression job whose output would not be
	// smaller than the destination it was given.
	ErrNoGain = errors.New("compressed data does not fit the destination")
)

// Job is one stream to decode or one buffer to encode.
type Job struct {
	// Src is the input: for decoding, one complete stream.
	Src []byte
	// Dst receives the output. Decoding fills it exactly; encoding fills at
	// most its length.
	Dst []byte

	// N is the number of bytes written to Dst.
	N int
	// CRC32 is the checksum of the raw bytes (gzip polynomial), which the
	// accelerator computes on the way.
	CRC32 uint32
	// Err is nil, or says why this job failed.
	Err error
}

// Engine runs batches of jobs.
type Engine interface {
	// Name identifies the engine in reports, for instance "software".
	Name() string
	// Decompress decodes every job and fills in its results. The error is of
	// the batch as a whole (the context ended); jobs not run carry it too.
	Decompress(ctx context.Context, jobs []Job) error
	// Compress encodes every job into one DEFLATE stream each, with matches
	// of at most WindowBytes.
	Compress(ctx context.Context, jobs []Job) error
}
